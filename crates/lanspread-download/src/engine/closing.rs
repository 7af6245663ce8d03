//! How the engine ends.

use std::io;
use std::sync::Arc;

use lanspread_disk::state_file;

use super::resume_state::ResumeState;
use super::{Ended, Engine};
use crate::job::DownloadEnd;
use crate::storage::failed;
use crate::unfinished::sweep;

impl Engine {
    /// Ends what is under way. After a cancellation, discards what the download brought, unless the job
    /// keeps it; after a failure, saves what the journal has not been told yet; when the peer stops, without waiting
    /// for the bytes to be durable, which the next start does not rely on.
    pub(super) async fn close(mut self, ended: Ended) -> Ended {
        self.sources.end_all().await;
        match &ended {
            Ok(_) => self.sharer.hand_over(),
            // Nothing is removed then, so nobody who still reads is in the way.
            Err(DownloadEnd::Interrupted) => self.sharer.close(),
            Err(_) => self.sharer.end().await,
        }
        self.disk.idle().await;
        let has_begun = self.disk.has_begun();
        let (root, journal) = (self.job.root.clone(), self.job.journal.clone());
        let last = self.resume.as_mut().map(ResumeState::last_checkpoint);
        let is_cancelled = matches!(ended, Err(DownloadEnd::Cancelled));
        let is_discarded = is_cancelled && !self.job.keeps_on_cancel;
        let has_failed = ended.is_err() && !is_discarded;
        let is_stopped = matches!(ended, Err(DownloadEnd::Interrupted));
        let storage = self.resume.as_ref().map(|resume| Arc::clone(resume.storage()));
        let closing = tokio::task::spawn_blocking(move || match last {
            _ if is_discarded && has_begun => {
                // File systems in user space keep what is open under another name in its directory.
                storage.iter().for_each(|storage| storage.close_files());
                if storage.as_ref().map_or(Ok(false), |storage| storage.is_replaced())? {
                    // The journal proves nothing about what is at the path now.
                    state_file::remove_file(&journal).map_err(failed("remove", &journal))?;
                    return Err(failed("discard", &root)(io::Error::other(
                        "something else has taken its place; nothing there was removed",
                    )));
                }
                sweep(&root, &journal)
            }
            Some(last) if is_stopped => {
                last.note();
                Ok(())
            }
            Some(last) if has_failed => {
                if let Err(error) = last.save() {
                    tracing::warn!(%error, "chunks of a failed download may have to be fetched again");
                }
                Ok(())
            }
            _ => Ok(()),
        });
        match closing.await {
            Ok(Ok(())) => ended,
            Ok(Err(error)) => Err(DownloadEnd::Failed(error.into())),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
