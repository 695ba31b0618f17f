//! `POST /tsy/{token}/issue-notify`: TSY reports that a flight's tickets were issued or rejected.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::IssueNotify).await
}
