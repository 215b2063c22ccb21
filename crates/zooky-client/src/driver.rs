//! Drives a session.
use std::sync::Arc;
use std::time::Duration;

use crate::config::SessionConfig;
use crate::error::ConnectError;
use crate::shared::Shared;

pub(crate) async fn start(_config: SessionConfig) -> Result<(Arc<Shared>, i64, Duration), ConnectError> {
    Err(ConnectError::Local { why: "not written yet".into() })
}
