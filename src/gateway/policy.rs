//! The active policy bundle: read from its folder or the database, proved, then swapped in. What fails changes nothing.

mod again;
pub mod envelope;
pub(super) mod evidence;
pub(super) mod people;
mod report;
pub(super) mod shadow;
pub mod shown;
mod signature;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use portcullis_core::policy::{
    Bundle, Diagnostic, Engine, MAX_BUNDLE_BYTES, MAX_FILE_BYTES, MAX_FILES, People, is_example,
};
use portcullis_core::wire::uri::Domain;
use tokio::sync::watch;

use crate::config::Policies;
use crate::peer::causes;
use crate::telemetry::metrics;
pub use again::{Patience, Replayer, Window, simulate};
pub use evidence::{ShadowView, keep_simulation};
pub use report::{Change, Changes, Report, Sample};
pub use shadow::watch as shadow;
pub use signature::sign as sign_bundle;

/// Folder of a bundle that is never loaded.
const EXAMPLES: &str = "examples";
/// Most folders in each other.
const MAX_DEPTH: usize = 8;

/// Why a bundle is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The folder cannot be read.
    #[error("cannot read policies from `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder holds more than a bundle may.
    #[error(
        "`{}` is larger than a bundle may be ({MAX_FILES} files of {MAX_FILE_BYTES} bytes, {MAX_BUNDLE_BYTES} bytes in \
         all, {MAX_DEPTH} folders deep)",
        path.display()
    )]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
    },
    /// Something in it is wrong; all of it is listed.
    #[error("policy bundle in `{}` is not valid", path.display())]
    Invalid {
        /// The folder.
        path: PathBuf,
        /// The files by their path in the bundle, for showing where.
        files: BTreeMap<String, Vec<u8>>,
        /// Everything that is wrong.
        diagnostics: Vec<Diagnostic>,
    },
    /// Signers are configured, and none of them has signed it.
    #[error("policy bundle is signed by none of `policies.signers`")]
    Unsigned,
    /// What the database keeps is not the bundle that it was kept as.
    #[error("kept policy bundle is not what its digest says")]
    Altered,
}

/// What keeps a bundle from deciding, in one sentence that names the first things.
pub(super) fn described(error: &PolicyError) -> String {
    /// How many are named.
    const FIRST: usize = 20;
    match error {
        PolicyError::Invalid { diagnostics, .. } => {
            let first: Vec<String> = diagnostics.iter().take(FIRST).map(ToString::to_string).collect();
            format!("the bundle is not valid, {} errors: {}", diagnostics.len(), first.join("; "))
        }
        error => causes(error),
    }
}

/// The bundle that decides now.
pub struct Policy {
    config: Policies,
    active: RwLock<Arc<Active>>,
    /// Moves when another bundle decides, or others are suspended.
    changed: watch::Sender<u64>,
    /// What is wrong with the folder of the configuration, where this began with what the database names.
    flaw: Option<String>,
    turn: Mutex<Turn>,
}

/// What this process has seen of the pointer and of the folder; held while the bundle that the database names is put in force.
#[derive(Default)]
pub(super) struct Turn {
    /// SHA-256 of what the database kept when it could not be put in force.
    pub(super) broken: Option<[u8; 32]>,
    /// How often the pointer had been moved.
    pub(super) seen: Option<u64>,
    /// Digest of what the folder held.
    pub(super) folder: Option<[u8; 32]>,
}

/// One proved bundle.
pub struct Active {
    /// Decides.
    pub engine: Engine,
    /// The bundle itself.
    pub bundle: Bundle,
    /// Its files as JSON, for keeping: a decision can be looked at again long after the bundle is gone.
    pub files: Vec<u8>,
    /// Whether there are signatures among them.
    pub has_signatures: bool,
}

impl Active {
    /// Reads and proves the bundle in the folder of a configuration.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with everything that is wrong.
    pub fn read(config: &Policies) -> Result<Self, PolicyError> {
        Self::prove(files(&config.folder)?, config, &config.folder)
    }

    /// Proves a bundle as the database keeps it.
    ///
    /// # Errors
    ///
    /// As [`Self::prove`], and [`PolicyError::Altered`].
    pub fn of_kept(kept: &[u8], digest: &[u8; 32], config: &Policies) -> Result<Self, PolicyError> {
        let texts: BTreeMap<String, String> = serde_json::from_slice(kept).map_err(|_| PolicyError::Altered)?;
        let files = texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        let active = Self::prove(files, config, Path::new(""))?;
        if active.bundle.digest() == *digest { Ok(active) } else { Err(PolicyError::Altered) }
    }

    /// Proves the files of a bundle. `folder` is where they are said to come from.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Invalid`] with everything that is wrong, and [`PolicyError::Unsigned`].
    pub fn prove(mut files: BTreeMap<String, Vec<u8>>, config: &Policies, folder: &Path) -> Result<Self, PolicyError> {
        let bundle = Bundle::load(files.clone()).map_err(|diagnostics| PolicyError::Invalid {
            path: folder.to_owned(),
            files: files.clone(),
            diagnostics,
        })?;
        // The digest does not name them.
        files.retain(|file, _| !is_example(file));
        let texts: BTreeMap<&String, _> =
            files.iter().map(|(name, text)| (name, String::from_utf8_lossy(text))).collect();
        let kept = serde_json::to_vec(&texts).unwrap_or_default();
        let signatures = signature::in_files(&files);
        if !config.signers.is_empty() && !signature::is_signed(&bundle.digest(), &signatures, &config.signers) {
            return Err(PolicyError::Unsigned);
        }
        let has_signatures = !signatures.is_empty();
        Ok(Self { engine: Engine::new(&bundle), bundle, files: kept, has_signatures })
    }

    fn with(&self, change: impl FnOnce(&Engine) -> Engine) -> Self {
        let engine = change(&self.engine);
        Self { engine, bundle: self.bundle.clone(), files: self.files.clone(), has_signatures: self.has_signatures }
    }
}

impl Policy {
    /// Reads and proves the bundle in the folder of a configuration.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with everything that is wrong.
    pub fn open(config: &Policies) -> Result<Self, PolicyError> {
        Ok(Self::beginning_with(Active::read(config)?, config, None))
    }

    /// Begins with a kept bundle, for the folder of the configuration has a flaw.
    pub fn stand_in(kept: Active, config: &Policies, flaw: &PolicyError) -> Self {
        Self::beginning_with(kept, config, Some(described(flaw)))
    }

    fn beginning_with(active: Active, config: &Policies, flaw: Option<String>) -> Self {
        let (config, active) = (config.clone(), RwLock::new(Arc::new(active)));
        Self { config, active, changed: watch::Sender::new(0), flaw, turn: Mutex::default() }
    }

    /// What is wrong with the folder of the configuration, where this began without it.
    pub(super) fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where bundles come from, and what it takes for another one to decide.
    pub fn config(&self) -> &Policies {
        &self.config
    }

    /// A counter that moves whenever what was allowed may be no longer.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The bundle that decides now. A request takes it once, so that one bundle decides all of it.
    pub fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads and proves the folder again. The bundle that decides stays the same until [`Self::activate`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with everything that is wrong.
    pub fn read(&self) -> Result<Arc<Active>, PolicyError> {
        let read = Active::read(&self.config).map(Arc::new);
        metrics::policy_load(if read.is_ok() { "good" } else { "bad" });
        read
    }

    /// Lets a bundle decide from now on. Who is suspended beside its settings stays so, and what is known of people.
    pub fn activate(&self, bundle: Arc<Active>) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        let (suspended, people) = (active.engine.suspended().clone(), Arc::clone(active.engine.people()));
        *active = Arc::new(bundle.with(|engine| engine.with_suspended(suspended).with_people(people)));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Suspends these providers, and no others, beside those that the bundle's settings suspend.
    pub fn suspend(&self, providers: BTreeSet<Domain>) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        *active = Arc::new(active.with(|engine| engine.with_suspended(providers)));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes this for what the company's identity provider says.
    pub(super) fn set_people(&self, people: People) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        *active = Arc::new(active.with(|engine| engine.with_people(people)));
    }

    /// Has what was allowed for long be asked again.
    pub(super) fn ask_again(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The files of the bundle in a folder, by their path in it.
///
/// # Errors
///
/// [`PolicyError::Read`] and [`PolicyError::TooLarge`]; no more than a bundle may hold is ever read.
pub fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, PolicyError> {
    let mut found = Found { files: BTreeMap::new(), bytes: 0, seen: 0 };
    found.collect(folder, folder, MAX_DEPTH)?;
    Ok(found.files)
}

/// What was read so far.
struct Found {
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
    /// Files and folders: a link to a folder above it can be followed for long.
    seen: usize,
}

impl Found {
    fn collect(&mut self, root: &Path, folder: &Path, depth: usize) -> Result<(), PolicyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PolicyError::Read { path, source }
        };
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            let entry = entry.map_err(failed(folder))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue; // Kubernetes mounts keep their own folders under such names.
            }
            let path = entry.path();
            let metadata = std::fs::metadata(&path).map_err(failed(&path))?;
            self.seen += 1;
            self.bytes += if metadata.is_dir() { 0 } else { metadata.len() };
            let fits = metadata.is_dir() || metadata.len() <= MAX_FILE_BYTES;
            if depth == 0 || !fits || self.bytes > MAX_BUNDLE_BYTES || self.seen > MAX_FILES {
                return Err(PolicyError::TooLarge { path });
            }
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if metadata.is_dir() {
                if name != EXAMPLES {
                    self.collect(root, &path, depth - 1)?;
                }
            } else if metadata.is_file() {
                let mut content = Vec::new();
                let file = std::fs::File::open(&path).map_err(failed(&path))?;
                file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(failed(&path))?;
                self.files.insert(name, content);
            } else {
                let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is neither a file nor a folder");
                return Err(failed(&path)(source));
            }
        }
        Ok(())
    }
}
