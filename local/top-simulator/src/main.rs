//! The TOP simulator's executable.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tokio::net::TcpListener;
use top_simulator::{Credentials, Simulator, serve};

/// Simulate the Taobao Open Platform's gateway for tests and development.
///
/// Prints `listening on http://ADDR` when it is ready. Logs go to stderr.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address and port to listen on; port 0 picks a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// App key that requests must carry.
    #[arg(long, env = "TOP_APP_KEY")]
    app_key: String,
    /// App secret that requests must be signed with.
    #[arg(long, env = "TOP_APP_SECRET", hide_env_values = true)]
    app_secret: String,
    /// Seller's session that ship notifications must carry.
    #[arg(long, env = "TOP_SESSION", hide_env_values = true)]
    session: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let simulator = Simulator::new(Credentials {
        app_key: arguments.app_key,
        app_secret: arguments.app_secret,
        session: arguments.session,
    });
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()?;
    serve(listener, Arc::new(Mutex::new(simulator))).await
}
