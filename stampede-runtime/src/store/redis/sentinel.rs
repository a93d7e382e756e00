//! Sentinels: who say which server is the master now.

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, RedisResult, Value, cmd, from_redis_value};
use tokio::task::JoinSet;

use super::error::Failure;
use super::link::open;
use crate::store::BackendErrorKind;

/// Asked anew for each connection: whoever was the master when the last one broke may not be it any more.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) clients: Vec<Client>,
    /// As the sentinels know the master.
    pub(super) master: String,
    /// All of a connection to a master but its address.
    pub(super) template: ConnectionInfo,
}

impl Sentinels {
    /// Asks all at once. Each answers by itself.
    pub(super) fn ask(&self) -> JoinSet<Result<Client, Failure>> {
        let mut asked = JoinSet::new();
        for client in &self.clients {
            asked.spawn(ask(client.clone(), self.master.clone(), self.template.clone()));
        }
        asked
    }
}

async fn ask(sentinel: Client, master: String, template: ConnectionInfo) -> Result<Client, Failure> {
    #[cfg(feature = "redis-tls")]
    super::tls::provide(&sentinel);
    let mut connection = open(&sentinel, None).await?;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let told: Option<(String, u16)> = ask.query_async(&mut connection).await?;
    let Some((host, port)) = told else {
        return Err(Failure::new(BackendErrorKind::Unreachable, "the sentinels know no master of this name"));
    };
    Ok(Client::open(at(&template, host, port))?)
}

/// The same connection to another server.
pub(super) fn at(template: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match template.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    template.clone().set_addr(addr)
}

/// Whether a server is a master, as far as it tells. One that may not be asked is found out at the first write.
pub(super) async fn is_master(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    match cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(role) => {
            let role = role.into_iter().next().and_then(|role| from_redis_value::<String>(role).ok());
            Ok(role.is_some_and(|role| role == "master"))
        }
        Err(error) if error.code().is_some() => Ok(true),
        Err(error) => Err(error),
    }
}
