use touchstone_domain::CheckKind;

use crate::{
    FetchStatement, KeyKind, VerdictStatement,
    testing::{fetch, ring, signer, verdict},
};

#[test]
fn what_was_signed_is_what_is_read() {
    let signed = fetch().sign(&signer(KeyKind::Fetch, 0)).expect("signs");
    let read = FetchStatement::verify(&signed, &ring()).expect("verifies");
    assert_eq!(read.statement(), &fetch());
    for check in CheckKind::ALL {
        let signed = verdict(check).sign(&signer(check.into(), 0)).expect("signs");
        let read = VerdictStatement::verify(&signed, &ring()).expect("verifies");
        assert_eq!(read.statement(), &verdict(check));
    }
}
