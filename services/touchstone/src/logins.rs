//! As whom the roles of this process log in to Postgres and NATS.

use touchstone_bus::{BusUser, Passwords};
use touchstone_store::DatabaseRole;

use crate::roles::Role;

/// As the configured addresses say, unless a server is private: there each role logs in as itself.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    /// Whether the database is private: it trusts whoever may enter the directory of its socket.
    pub(crate) is_private_database: bool,
    /// The passwords of a private nats-server.
    pub(crate) nats: Option<Passwords>,
}

impl Logins {
    /// The address of the database for a role.
    pub(crate) fn database(&self, url: &str, role: Role) -> String {
        if self.is_private_database { database_role(role).url(url) } else { url.to_owned() }
    }

    /// The address of NATS for a role.
    pub(crate) fn nats(&self, url: &str, role: Role) -> String {
        self.nats.as_ref().map_or_else(|| url.to_owned(), |passwords| passwords.url(url, bus_user(role)))
    }
}

const fn database_role(role: Role) -> DatabaseRole {
    match role {
        Role::Edge => DatabaseRole::Edge,
        Role::Hash => DatabaseRole::Hash,
        Role::Attest => DatabaseRole::Attest,
        Role::Sumdb => DatabaseRole::Sumdb,
        Role::Promote => DatabaseRole::Promote,
        Role::Console => DatabaseRole::Console,
    }
}

const fn bus_user(role: Role) -> BusUser {
    match role {
        Role::Edge => BusUser::Edge,
        Role::Hash => BusUser::Hash,
        Role::Attest => BusUser::Attest,
        Role::Sumdb => BusUser::Sumdb,
        Role::Promote => BusUser::Promote,
        Role::Console => BusUser::Console,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_private_servers_does_a_role_become_itself() {
        let configured = Logins::default();
        let (database, nats) = ("postgres://me:pw@db.example/t", "nats://me:pw@nats.example:4222");
        for role in Role::ALL {
            assert_eq!(configured.database(database, role), database);
            assert_eq!(configured.nats(nats, role), nats);
        }
        let private = Logins { is_private_database: true, nats: Some(Passwords::generate()) };
        for role in Role::ALL {
            let name = role.as_str();
            let url = private.database("postgres://postgres@%2Ftmp/t", role);
            assert_eq!(url, format!("postgres://touchstone_{name}@%2Ftmp/t"));
            let url = private.nats("nats://127.0.0.1:1", role);
            assert!(url.starts_with(&format!("nats://{name}:")) && url.ends_with("@127.0.0.1:1"), "{url}");
        }
    }
}
