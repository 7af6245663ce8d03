//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use lanspread_archive::MaxDictionary;
use lanspread_mdns::{IpNetwork, MdnsInterface};
use lanspread_peer::RateLimit;
use lanspread_proto::{NetworkName, PeerName};
use tracing_subscriber::EnvFilter;

use crate::catalog::CatalogAction;
use crate::fixture::FixtureArgs;

/// A Lanspread peer, driven by JSON lines on standard input and output.
#[derive(Debug, Parser)]
#[command(name = "lanspread-peer-cli", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run a peer: commands on standard input, records on standard output, logs on standard error.
    Run(Box<RunArgs>),
    /// Print the JSON Schema of every command and record, or of one command.
    Schema(SchemaArgs),
    /// Write a catalog, check games against one, or add content roots to one.
    Catalog {
        #[command(subcommand)]
        action: CatalogAction,
    },
    /// Make a game root and its catalog entry, for tests.
    Fixture(Box<FixtureArgs>),
}

/// How to run a peer.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What the peer calls itself [default: the name of the machine].
    #[arg(long)]
    pub(crate) name: Option<PeerName>,
    /// Where the games are: one directory each. Must exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) games_dir: PathBuf,
    /// Where identity and state are kept. Made if missing; never inside the games directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: PathBuf,
    /// The catalog [default: `game.db`, else `catalog.json`, in the games directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) catalog: Option<PathBuf>,
    /// The UDP address to listen on. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    pub(crate) listen: SocketAddr,
    /// Which party on the LAN to belong to.
    #[arg(long, value_name = "NAME", default_value = "lanspread")]
    pub(crate) network: NetworkName,
    /// Closes the party to peers without this secret (at least 8 bytes).
    #[arg(long, value_name = "FILE")]
    pub(crate) network_key_file: Option<PathBuf>,
    /// Where to advertise and browse by mDNS: an interface, `all` or `off`.
    #[arg(long, value_name = "IFACE|all|off", default_value = "all")]
    pub(crate) mdns_interface: MdnsInterface,
    /// A network off the link whose peers are dialled as well, where an mDNS reflector tells of them.
    #[arg(long = "mdns-network", value_name = "CIDR")]
    pub(crate) mdns_networks: Vec<IpNetwork>,
    /// Unpack RAR archives with this program instead of in process.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) unrar: Option<PathBuf>,
    /// How much memory an unpacking may take for its dictionary: a power of two from 1MiB to 64GiB.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = max_dictionary)]
    pub(crate) max_dictionary: MaxDictionary,
    /// To how many peers that store no archives games are streamed at a time; the others wait.
    #[arg(long, value_name = "COUNT", default_value = "2")]
    pub(crate) max_streams: NonZeroUsize,
    /// Whether `download` installs when it does not say.
    #[arg(long, action = ArgAction::Set, value_name = "true|false", default_value_t = false)]
    pub(crate) auto_install: bool,
    /// Send at most this much a second to all others together, such as `20MiB` [default: no limit].
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) upload_limit: Option<RateLimit>,
    /// Fetch at most this much a second, all downloads together [default: no limit].
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) download_limit: Option<RateLimit>,
    /// Silence after which a peer is asked for a sign of life.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) ping_after: Duration,
    /// Silence after which a peer is lost.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) peer_timeout: Duration,
    /// What to log on standard error: `error`, `warn`, `info`, `debug`, or per module.
    #[arg(long, value_name = "FILTER", default_value = "warn", value_parser = log_filter)]
    pub(crate) log: String,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The command to print alone, with everything inline.
    #[arg(value_name = "COMMAND", conflicts_with = "markdown")]
    pub(crate) command: Option<String>,
    /// Print the tables of `docs/jsonl.md` instead.
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// A duration such as `500ms`, `10s` or `2m`. Zero is refused.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let ms_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("a duration is a whole number and ms, s or m, such as 10s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "the number is missing or too large".to_owned())?;
    match number.checked_mul(ms_per_unit) {
        Some(0) => Err("the duration must be longer than zero".to_owned()),
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err("the duration is too long".to_owned()),
    }
}

/// Bytes per second: a whole number, and a unit where it is not bytes, such as `20MiB` or `2MB/s`.
fn rate(text: &str) -> Result<RateLimit, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let bytes_per_unit: u64 = match unit.strip_suffix("/s").unwrap_or(unit) {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            let units = "B, kB, MB, GB, KiB, MiB or GiB";
            return Err(format!("a rate is a whole number and {units}, a second, such as 20MiB"));
        }
    };
    let number: u64 =
        number.parse().map_err(|_| "the number is missing or too large".to_owned())?;
    let bytes = number.checked_mul(bytes_per_unit).ok_or("the rate is too high")?;
    let too_low = || format!("the rate must be at least {} KiB a second", RateLimit::MIN / 1024);
    RateLimit::new(bytes).ok_or_else(too_low)
}

/// A limit for dictionaries, such as `4GiB`.
fn max_dictionary(text: &str) -> Result<MaxDictionary, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("the size is a whole number and MiB or GiB, such as 4GiB".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.and_then(MaxDictionary::new).ok_or_else(|| {
        let (smallest, largest) = (MaxDictionary::SMALLEST, MaxDictionary::LARGEST);
        format!("the size must be a power of two from {smallest} to {largest}")
    })
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "1h", "-1s", "1.5s", "0s", "99999999999999999999s", "1 s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert!(duration(&format!("{}m", u64::MAX)).is_err());
    }

    #[test]
    fn rates_may_have_a_unit() {
        let bytes = |text| rate(text).map(RateLimit::bytes_per_second);
        assert_eq!(bytes("1000000"), Ok(1_000_000));
        assert_eq!(bytes("20MiB"), Ok(20 << 20));
        assert_eq!(bytes("2MB/s"), Ok(2_000_000));
        assert_eq!(bytes("256KiB"), Ok(RateLimit::MIN));
        for bad in ["", "0", "MiB", "1.5MiB", "-1MiB", "20 MiB", "20Mbit", "255KiB", "1m"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
        assert!(rate(&format!("{}GiB", u64::MAX)).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
