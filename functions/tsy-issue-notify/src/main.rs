//! `POST /tsy/{token}/issue-notify`: TSY tells a flight's tickets were issued, or were not.

use shared::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::endpoint::serve(NotificationKind::IssueNotify).await
}
