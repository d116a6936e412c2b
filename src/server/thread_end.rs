//! How the end of a thread is noticed, by which the server is none any more.

use tokio::sync::mpsc;

/// Reports that a thread has ended, however it did.
#[derive(Debug)]
pub struct Ended(mpsc::UnboundedSender<String>, String);

impl Ended {
    /// For a thread of this name.
    pub fn new(report: &mpsc::UnboundedSender<String>, name: &str) -> Self {
        Self(report.clone(), name.to_owned())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(std::mem::take(&mut self.1));
    }
}
