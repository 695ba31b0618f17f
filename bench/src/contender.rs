//! The measured contenders: the release build of our functions, peers that do the same job with the usual tools, and
//! the floor.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use relay_tests::relay::{TOKEN, TOP_SECRET_ID};
use relay_types::call::CallKind;
use relay_types::digest::sha256_hex;
use serde::Serialize;
use zip::write::SimpleFileOptions;

/// The job of a contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Receives TSY's notification.
    TsyIssueNotify,
    /// Receives SCTT's voucher push.
    ScttVoucherPush,
    /// Decides which call a notification leads to.
    Dispatch,
    /// Sends the call to TOP.
    ShipNotify,
}

impl Function {
    /// All jobs.
    pub const ALL: [Self; 4] = [Self::TsyIssueNotify, Self::ScttVoucherPush, Self::Dispatch, Self::ShipNotify];

    /// The name of the deployed function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TsyIssueNotify => "tsy-issue-notify",
            Self::ScttVoucherPush => "sctt-voucher-push",
            Self::Dispatch => "dispatch",
            Self::ShipNotify => "ship-notify",
        }
    }
}

/// The tools that do the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This project.
    Ours,
    /// Python, Powertools, boto3, topsdk.
    Python,
    /// Node.js, Powertools, AWS SDK v3, ali-topsdk.
    Node,
    /// A handler that returns a constant answer.
    Bare,
    /// A handler that makes the two requests of an endpoint over plain HTTP.
    RawHttp,
}

impl Kind {
    /// Whether it is a lower limit to compare the others with, which does not do the whole job.
    #[must_use]
    pub const fn is_floor(self) -> bool {
        matches!(self, Self::Bare | Self::RawHttp)
    }

    /// The name in tables and charts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Python => "python",
            Self::Node => "node",
            Self::Bare => "bare",
            Self::RawHttp => "raw http",
        }
    }
}

/// A program to measure.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Its tools.
    pub kind: Kind,
    /// Its job.
    pub function: Function,
    /// The program to start.
    pub program: PathBuf,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// The program's working folder.
    pub folder: PathBuf,
    /// Files and folders to upload.
    artifact: Vec<PathBuf>,
}

/// Name prefixes of files that need no upload, because a managed runtime has them or only this installation needs them.
const BROUGHT_BY_LAMBDA: [&str; 27] = [
    // Python: its Runtime API client, boto3, and their dependencies.
    "awslambdaric",
    "runtime_client",
    "simplejson",
    "snapshot_restore_py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "python_dateutil",
    "dateutil",
    "six",
    "urllib3",
    // Python: parts of the virtual environment.
    "pip",
    "setuptools",
    "pkg_resources",
    "_distutils_hack",
    "distutils-precedence",
    "__pycache__",
    // Node.js: the SDK and its dependencies.
    "@aws-sdk",
    "@smithy",
    "@aws-crypto",
    "bowser",
    "mnemonist",
    "obliterator",
    "tslib",
    ".bin",
    ".package-lock",
];

impl Contender {
    /// All contenders. `root` is the project folder; its release artifacts and peers must be built.
    #[must_use]
    pub fn all(root: &Path) -> Vec<Self> {
        let target = root.join("target");
        let native = |kind, function, name: &str| {
            let folder = target.join("lambda").join(name);
            let program = folder.join("bootstrap");
            Self { kind, function, artifact: vec![program.clone()], program, arguments: Vec::new(), folder }
        };
        let mut all = Vec::new();
        for function in Function::ALL {
            let name = function.name();
            all.push(native(Kind::Ours, function, name));
            let (folder, venv) = (root.join("bench/peers/python"), target.join("bench/python"));
            let module = name.replace('-', "_");
            all.push(Self {
                kind: Kind::Python,
                function,
                program: venv.join("bin/python"),
                arguments: ["-m", "awslambdaric", &format!("{module}.handler")].map(str::to_owned).to_vec(),
                artifact: vec![folder.clone(), venv.join("lib")],
                folder,
            });
            let folder = target.join("bench/node");
            all.push(Self {
                kind: Kind::Node,
                function,
                program: "node".into(),
                arguments: vec!["runtime.mjs".to_owned(), name.to_owned()],
                artifact: vec![folder.clone()],
                folder,
            });
        }
        all.push(native(Kind::Bare, Function::TsyIssueNotify, "floor-bare"));
        all.push(native(Kind::RawHttp, Function::TsyIssueNotify, "floor-raw-http"));
        all
    }

    /// The name in tables and files.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Bare | Kind::RawHttp => self.kind.name().to_owned(),
            _ => format!("{} {}", self.function.name(), self.kind.name()),
        }
    }

    /// The size of the zipped artifact in bytes, at deflate's highest level.
    ///
    /// # Errors
    /// If a file or folder of the artifact cannot be read.
    pub fn zipped(&self) -> io::Result<u64> {
        let mut zip = zip::ZipWriter::new(Counting::default());
        for path in &self.artifact {
            add(&mut zip, path)?;
        }
        Ok(zip.finish()?.length)
    }
}

fn add(zip: &mut zip::ZipWriter<Counting>, path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if BROUGHT_BY_LAMBDA.iter().any(|brought| name.starts_with(brought)) {
        return Ok(());
    }
    if path.is_dir() {
        let mut entries =
            path.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add(zip, entry));
    }
    let options = SimpleFileOptions::default().compression_level(Some(9));
    zip.start_file(path.to_string_lossy(), options)?;
    io::copy(&mut File::open(path)?, zip)?;
    Ok(())
}

/// Counts the bytes written to it and discards them.
#[derive(Debug, Default)]
struct Counting {
    position: u64,
    length: u64,
}

impl io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.position += bytes.len() as u64;
        self.length = self.length.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Counting {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let from = |base: u64, by: i64| base.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput);
        self.position = match to {
            io::SeekFrom::Start(position) => position,
            io::SeekFrom::End(by) => from(self.length, by)?,
            io::SeekFrom::Current(by) => from(self.position, by)?,
        };
        Ok(self.position)
    }
}

/// The environment of every function.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where AWS and TOP listen.
    pub services: SocketAddr,
    /// The search path for programs.
    pub path: String,
}

impl Environment {
    /// A queue's URL, with the services' host and port, because AWS SDK v3 sends its requests to the queue's URL.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("http://{}/123456789012/{name}", self.services)
    }

    /// The environment variables of one process.
    #[must_use]
    pub fn variables(&self, contender: &Contender, runtime_api: SocketAddr) -> Vec<(String, String)> {
        let token_hash = sha256_hex(TOKEN.as_bytes());
        let mut variables = vec![
            ("PATH", self.path.clone()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("TZ", ":UTC".to_owned()),
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", contender.function.name().to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "bench".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("LAMBDA_TASK_ROOT", contender.folder.to_string_lossy().into_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_SESSION_TOKEN", "test".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.services)),
            ("LOG_LEVEL", "info".to_owned()),
            ("TABLE_NAME", "relay".to_owned()),
            ("IDEMPOTENCY_TABLE", "idempotency".to_owned()),
            ("ORDERS_TABLE", "orders".to_owned()),
            ("NOTIFICATIONS_QUEUE_URL", self.queue_url("notifications")),
            ("TSY_TOKEN_HASHES", token_hash.clone()),
            ("SCTT_TOKEN_HASHES", token_hash),
            ("TOP_GATEWAY_URL", format!("http://{}/router/rest", self.services)),
            ("TOP_SECRET_ID", TOP_SECRET_ID.to_owned()),
        ];
        if contender.kind == Kind::Python {
            // Lambda's file system is read-only.
            variables.push(("PYTHONDONTWRITEBYTECODE", "1".to_owned()));
        }
        let queues = CallKind::ALL.map(|kind| (kind.queue_url_variable(), self.queue_url(kind.as_ref())));
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(queues).collect()
    }
}
