//! `POST /tsy/{token}/issue-notify`: TSY tells a flight's tickets were issued, or were not.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::IssueNotify).await
}
