//! What the webhooks tell of how accounts are connected.
//!
//! A webhook is answered at once: [`Connections::tell`] only remembers, and a task of its own writes
//! what is new. Evolution can tell the same a thousand times within a minute: the same is not written
//! again, and of what changes faster than it is written only the last is.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use omnihub_common::{
    channel::{ConnectionNews, ConnectionState},
    queue::{AccountRecord, Accounts, BucketError, now_ms},
};
use tokio::sync::{Notify, mpsc};

/// So often records are written, and tried again when they could not be.
const PAUSE: Duration = Duration::from_millis(500);

/// Hears of connections. A clone is the same.
#[derive(Clone, Debug)]
pub struct Connections {
    heard: Arc<Mutex<Heard>>,
    wake: Arc<Notify>,
    accounts: Accounts,
}

/// What was heard, by row id.
#[derive(Debug, Default)]
struct Heard {
    last: HashMap<i64, ConnectionNews>,
    unwritten: HashSet<i64>,
}

impl Connections {
    /// Writes what is heard to these records until all clones are gone.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        Self { heard: Arc::default(), wake: Arc::default(), accounts }
    }

    /// What is known of accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// A webhook of an instance told this.
    pub fn tell(&self, instance: i64, news: ConnectionNews) {
        let what = |news: &ConnectionNews| (news.state, news.reason, news.own_id.clone());
        let mut heard = self.lock();
        if heard.last.get(&instance).is_some_and(|before| what(before) == what(&news)) {
            return;
        }
        // Whether it is older than what is known the record decides.
        heard.last.insert(instance, news);
        heard.unwritten.insert(instance);
        drop(heard);
        self.wake.notify_one();
    }

    /// Writes what is heard, for ever; names each account that has come open to `opened`.
    pub async fn keep(self, opened: mpsc::UnboundedSender<i64>) {
        loop {
            self.wake.notified().await;
            let due: Vec<(i64, ConnectionNews)> = {
                let mut heard = self.lock();
                let ids = std::mem::take(&mut heard.unwritten);
                ids.into_iter().filter_map(|id| Some((id, heard.last.get(&id)?.clone()))).collect()
            };
            for (id, news) in due {
                match self.write(id, &news).await {
                    Ok(true) if news.state == ConnectionState::Open => drop(opened.send(id)),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(instance.id = id, error.message = %error, "how an account is connected will be written later");
                        self.lock().unwritten.insert(id);
                        self.wake.notify_one();
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes one; `true` when its state is another one than before.
    async fn write(&self, id: i64, news: &ConnectionNews) -> Result<bool, BucketError> {
        let now = now_ms();
        let before = self.accounts.get(id).await?.map(|record| record.state);
        let written = self
            .accounts
            .change(id, |known| {
                let next = AccountRecord::after(known, news, now)?;
                (!known.is_some_and(|known| known.says_the_same(&next))).then_some(next)
            })
            .await?;
        Ok(written && before != Some(news.state))
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
