//! TOP accounts: an application with a seller's session. The secret holds their credentials; everything else names them.

/// The account of a call for which neither the link nor the secret names one.
pub const DEFAULT_ACCOUNT: &str = "default";
