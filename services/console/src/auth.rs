//! Bearer tokens.

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// The digest of the operator's token; comparing digests takes the same time wherever they differ first.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn is(&self, offered: &str) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered.as_bytes()).into();
        self.0.iter().zip(offered).fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs)) == 0
    }
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Change,
}

/// Whether the request may; without a configured token, reading is open (the listener is on loopback) and changing is not.
pub(crate) fn permit(token: Option<&Token>, headers: &HeaderMap, access: Access) -> Result<(), Problem> {
    let offered = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match (token, offered, access) {
        (Some(token), Some(offered), Access::Read | Access::Change) if token.is(offered) => Ok(()),
        (Some(_), _, _) => {
            Err(Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", "send `Authorization: Bearer TOKEN`"))
        }
        (None, _, Access::Read) => Ok(()),
        (None, _, Access::Change) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "No token configured",
            "set [console] token_file in touchstone.toml to make changes over HTTP, or use the command line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_need_the_token_and_reading_needs_it_once_there_is_one() {
        let token = Token::new("correct horse");
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("header"));
            headers
        };
        for (token, headers, access, expected) in [
            (Some(&token), with("Bearer correct horse"), Access::Change, None),
            (Some(&token), with("Bearer correct hors"), Access::Read, Some(401)),
            (Some(&token), with("correct horse"), Access::Change, Some(401)),
            (Some(&token), HeaderMap::new(), Access::Read, Some(401)),
            (None, HeaderMap::new(), Access::Read, None),
            (None, with("Bearer correct horse"), Access::Change, Some(403)),
        ] {
            let status = permit(token, &headers, access).err().map(|problem| problem.status.as_u16());
            assert_eq!(status, expected, "{headers:?} {access:?}");
        }
    }
}
