//! Starting a peer.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lanspread_archive::{AutoUnpacker, ExternalUnrar, UnrarVersion};
use lanspread_catalog::Catalog;
use lanspread_peer::{NetworkKey, PeerConfig, event_channel, start_peer};
use lanspread_proto::PeerName;
use lanspread_proto::ids::PEER_NAME_MAX_BYTES;

use crate::args::RunArgs;
use crate::catalog::usual_catalog;
use crate::convert::path_text;
use crate::errors::{ErrorBody, ErrorCode};
use crate::input::read_stdin;
use crate::output::{Output, Reader};
use crate::platform::{host_name, is_program, signals};
use crate::protocol::data::ReadyData;
use crate::session::{Session, SessionIo, end_in_time};

/// Longest network key file in bytes: a secret is a line of text.
const KEY_FILE_MAX_BYTES: u64 = 64 * 1024;
/// What a peer is called when the machine has no usable name.
const NAME_DEFAULT: &str = "peer";

/// Runs a peer to its end. Returns whether all went well.
pub(crate) async fn run(args: RunArgs, started: Instant) -> bool {
    let mut output = Output::new(started);
    match start(args, &mut output).await {
        Ok(Some(ends)) => Session::new(ends, output).run().await,
        Ok(None) => {
            end_in_time();
            output.flush().await != Reader::Failed
        }
        Err(error) => {
            output.error(None, None, &error);
            end_in_time();
            output.flush().await;
            false
        }
    }
}

/// Starts the peer and says `ready`. `None` when a signal came first.
async fn start(args: RunArgs, output: &mut Output) -> Result<Option<SessionIo>, ErrorBody> {
    let mut signal = signals::listen().map_err(internal)?;
    let input = read_stdin().map_err(internal)?;
    let (sender, events) = event_channel();
    let network = args.network.clone();
    let starting = async {
        let config =
            tokio::task::spawn_blocking(move || config(args)).await.map_err(internal)??;
        let (name, games_dir) = (config.name.clone(), config.games_dir.clone());
        let peer = start_peer(config, sender).await.map_err(|error| ErrorBody::from(&error))?;
        Ok::<_, ErrorBody>((peer, name, games_dir))
    };
    let (peer, name, games_dir) = tokio::select! {
        biased;
        _ = &mut signal => return Ok(None),
        outcome = starting => outcome?,
    };
    output.ready(&ReadyData {
        peer_id: peer.peer_id(),
        name,
        listen_addr: peer.listen_addr(),
        network,
        games_dir: path_text(&games_dir),
        pid: std::process::id(),
    });
    Ok(Some(SessionIo { peer, events, input, signal }))
}

fn internal(error: impl ToString) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error)
}

/// Reads the files that the arguments name. Blocks.
fn config(args: RunArgs) -> Result<PeerConfig, ErrorBody> {
    let games_dir = args.games_dir.canonicalize().unwrap_or(args.games_dir);
    let network_key = args.network_key_file.as_deref().map(network_key).transpose()?;
    let unrar = args.unrar.as_deref().map(unrar_program).transpose()?;
    unrar.as_deref().into_iter().for_each(warn_of_old_unrar);
    let unpacker = AutoUnpacker::new(unrar).with_max_dictionary(args.max_dictionary);
    Ok(PeerConfig {
        name: args.name.unwrap_or_else(machine_name),
        catalog: catalog(args.catalog.as_deref(), &games_dir)?,
        games_dir,
        state_dir: args.state_dir,
        listen: args.listen,
        network: args.network,
        network_key,
        mdns: args.mdns_interface,
        mdns_networks: args.mdns_networks,
        stream_provider: Arc::new(unpacker.clone()),
        unpacker: Arc::new(unpacker),
        max_streams: args.max_streams,
        auto_install: args.auto_install,
        upload_limit: args.upload_limit,
        download_limit: args.download_limit,
        ping_after: args.ping_after,
        peer_timeout: args.peer_timeout,
    })
}

fn catalog(named: Option<&Path>, games_dir: &Path) -> Result<Catalog, ErrorBody> {
    let Some(path) = named.map(Path::to_owned).or_else(|| usual_catalog(games_dir)) else {
        tracing::warn!(
            "no catalog: neither --catalog, nor game.db or catalog.json in {}; \
             no game is announced, served or fetched",
            games_dir.display()
        );
        return Ok(Catalog::empty());
    };
    Catalog::load(&path).map_err(|error| ErrorBody::new(ErrorCode::CatalogUnusable, error))
}

/// Finds the program as a shell would, so that a wrong name shows now and not at the first install.
fn unrar_program(named: &Path) -> Result<PathBuf, ErrorBody> {
    let is_bare_name = named.components().count() == 1 && !named.has_root();
    let search = std::env::var_os("PATH").filter(|_| is_bare_name).unwrap_or_default();
    let in_path = std::env::split_paths(&search).map(|dir| dir.join(named));
    let as_named = (!is_bare_name).then(|| named.to_path_buf());
    in_path.chain(as_named).find(|path| path.metadata().is_ok_and(|it| is_program(&it))).ok_or_else(
        || {
            let message = format!("unrar program {} is not an executable file", named.display());
            ErrorBody::new(ErrorCode::InvalidConfig, message)
        },
    )
}

/// A warning and no refusal: distributions mend old versions without a new number.
fn warn_of_old_unrar(program: &Path) {
    let (path, oldest) = (program.display(), UnrarVersion::OLDEST_SAFE);
    match ExternalUnrar::new(program.to_path_buf()).version() {
        Ok(Some(version)) if version < oldest => tracing::warn!(
            "unrar program {path} is version {version}; before {oldest} an archive can run code in it: \
             take a newer one, or leave out --unrar"
        ),
        Ok(Some(_)) => {}
        Ok(None) => tracing::warn!(
            "unrar program {path} does not say its version; archives of strangers need {oldest} or later"
        ),
        Err(error) => tracing::warn!("unrar program {path} does not say its version: {error}"),
    }
}

fn network_key(path: &Path) -> Result<NetworkKey, ErrorBody> {
    let unusable = |reason: &dyn ToString| {
        let message = format!("network key file {}: {}", path.display(), reason.to_string());
        ErrorBody::new(ErrorCode::NetworkKeyUnusable, message)
    };
    let secret = read_key_file(path).map_err(|error| unusable(&error))?;
    NetworkKey::from_secret(&secret).ok_or_else(|| {
        unusable(&format!("the secret has less than {} bytes", NetworkKey::SECRET_MIN_BYTES))
    })
}

fn read_key_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = Vec::new();
    File::open(path)?.take(KEY_FILE_MAX_BYTES + 1).read_to_end(&mut secret)?;
    if secret.len() as u64 > KEY_FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large for a key"));
    }
    Ok(secret)
}

/// The name of this machine without its domain, or [`NAME_DEFAULT`].
#[expect(clippy::expect_used, reason = "the constant obeys the rules for names; a test shows it")]
fn machine_name() -> PeerName {
    let host = host_name();
    let host = host.split('.').next().unwrap_or_default();
    let short = host.get(..PEER_NAME_MAX_BYTES).unwrap_or(host);
    PeerName::new(short)
        .or_else(|_| PeerName::new(NAME_DEFAULT))
        .expect("the default name is a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_name() {
        assert!(PeerName::new(NAME_DEFAULT).is_ok());
        assert!(!machine_name().as_str().is_empty());
    }
}
