//! The leases of a backend that does as it is told.

use std::sync::Arc;
use std::time::Duration;

use super::{Asks, FaultyBackend, Verb};
use crate::store::lease::{Acquired, Asked, End, Leases, Token, Waiter};
use crate::store::{Backend, BackendErrorKind, Pending, StoreKey};

impl<B: Backend> FaultyBackend<B> {
    fn leased(&self) -> &dyn Leases {
        self.inner().leases().expect("who asks for leases was told that there are some")
    }
}

impl<B: Backend> Leases for FaultyBackend<B> {
    fn look<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<(Vec<u8>, Option<Duration>)>> {
        Box::pin(async move {
            let said = self.begin(Verb::Look, Asks::of(key));
            let look = async {
                let (entry, left) = self.leased().look(key).await?.unzip();
                Ok(said.fault.spoil(entry).map(|entry| (entry, left.flatten())))
            };
            self.on(Verb::Look).play(&said, || Ok(None), look).await
        })
    }

    fn acquire<'a>(&'a self, key: &'a StoreKey, asked: Asked<'a>) -> Pending<'a, Acquired> {
        Box::pin(async move {
            let said = self.begin(Verb::Acquire, Asks::of(key));
            let acquire = async {
                Ok(match self.leased().acquire(key, asked).await? {
                    Acquired::Value { entry, left } => {
                        Acquired::Value { entry: said.fault.spoil(Some(entry)).unwrap_or_default(), left }
                    }
                    other => other,
                })
            };
            self.on(Verb::Acquire).play(&said, || Err(BackendErrorKind::TimedOut.into()), acquire).await
        })
    }

    fn renew<'a>(&'a self, key: &'a StoreKey, token: &'a Token, lease: Duration) -> Pending<'a, bool> {
        Box::pin(self.act(Verb::Renew, Asks::of(key), || Ok(true), self.leased().renew(key, token, lease)))
    }

    fn end<'a>(&'a self, key: &'a StoreKey, token: &'a Token, end: End<'a>) -> Pending<'a, bool> {
        let End::Value { entry, ttl, told } = end else {
            return Box::pin(self.act(Verb::End, Asks::of(key), || Ok(true), self.leased().end(key, token, end)));
        };
        let ended = move |entry: Arc<[u8]>| async move {
            self.leased().end(key, token, End::Value { entry: &entry, ttl, told }).await
        };
        Box::pin(self.write(Verb::End, Asks::to_keep(key, ttl), entry, true, ended))
    }

    fn overwrite<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        let overwrite = move |entry: Arc<[u8]>| async move { self.leased().overwrite(key, &entry, ttl).await };
        Box::pin(self.write(Verb::Overwrite, Asks::to_keep(key, ttl), entry, (), overwrite))
    }

    fn overwrite_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            for (key, entry, ttl) in entries {
                self.overwrite(key, entry, *ttl).await?;
            }
            Ok(())
        })
    }

    fn waiter(&self, key: &StoreKey) -> Box<dyn Waiter> {
        self.leased().waiter(key)
    }
}
