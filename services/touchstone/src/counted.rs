//! What a role counts is shown from its start, as 0: an alarm can then tell what never happened from a role that is away.

use touchstone_domain::CheckKind;

use crate::roles::Role;

/// Begins the counters and distributions of a role that the README names; the rest begins with what is counted first.
pub(crate) fn register(role: Role) {
    let signs = |kind: &'static str| drop(metrics::histogram!("touchstone_sign_seconds", "kind" => kind));
    let checks = |check: CheckKind| {
        drop(metrics::histogram!("touchstone_verdict_batch", "check" => check.as_str()));
        signs(check.as_str());
    };
    match role {
        Role::Edge => {
            drop(metrics::histogram!("touchstone_ingest_batch"));
            signs("fetch");
        }
        Role::Hash => checks(CheckKind::Hash),
        Role::Attest => checks(CheckKind::Attest),
        Role::Sumdb => checks(CheckKind::Sumdb),
        Role::Promote => {
            for name in [
                "touchstone_log_failures",
                "touchstone_log_witness_failures",
                "touchstone_rejections_not_remembered",
                "touchstone_rejections_taken_back",
            ] {
                metrics::counter!(name).increment(0);
            }
            signs("promote");
        }
        Role::Console => {}
    }
}

#[cfg(test)]
mod tests {
    use touchstone_runtime::Metrics;

    use super::*;

    #[tokio::test]
    async fn what_the_readme_names_is_there_before_it_is_counted() {
        let metrics = Metrics::install().expect("a recorder");
        Role::ALL.into_iter().for_each(register);
        let shown = metrics.render();
        for line in [
            "touchstone_log_failures 0",
            "touchstone_log_witness_failures 0",
            "touchstone_rejections_not_remembered 0",
            "touchstone_rejections_taken_back 0",
            "touchstone_ingest_batch_count 0",
            "touchstone_verdict_batch_count{check=\"hash\"} 0",
            "touchstone_verdict_batch_count{check=\"attest\"} 0",
            "touchstone_verdict_batch_count{check=\"sumdb\"} 0",
            "touchstone_sign_seconds_count{kind=\"fetch\"} 0",
            "touchstone_sign_seconds_count{kind=\"hash\"} 0",
            "touchstone_sign_seconds_count{kind=\"promote\"} 0",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
        }
    }
}
