//! scratch
use touchstone_tests::clients::*;
#[tokio::main]
async fn main() {
    let which = std::env::args().nth(1);
    let url: url::Url = "http://127.0.0.1:18999/".parse().expect("url");
    for client in Client::ALL {
        if which.as_deref().is_some_and(|w| w != client.name()) {
            continue;
        }
        let deps: &[(&str, &str)] = match client {
            Client::Npm | Client::Pnpm | Client::Yarn => {
                &[("express", "^5"), ("@babel/code-frame", "^7"), ("chalk", "^4"), ("yargs", "^17")]
            }
            Client::Pip | Client::Uv => &[
                ("flask", ""),
                ("requests", ""),
                ("rich", ""),
                ("sqlalchemy", ""),
                ("pydantic", ""),
                ("httpx", ""),
            ],
            Client::Cargo => &[("axum", "0.8"), ("clap", "4"), ("serde_json", "1")],
        };
        let p = Project::new(client, deps);
        let run = p.install(&url).await;
        eprintln!("{run}\n{:?}", run.installed);
        let run = p.install_locked(&url).await;
        eprintln!("{run}");
    }
}
