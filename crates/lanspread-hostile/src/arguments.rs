//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lanspread_proto::{GameId, NetworkName, PeerId};

/// Attack a Lanspread peer.
#[derive(Parser)]
#[command(about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) attack: Attack,
    /// The share of a core that the program takes at most.
    #[arg(long, global = true, default_value_t = 0.5)]
    pub(crate) cpu: f64,
    /// End after so many seconds; else when the input does.
    #[arg(long, global = true)]
    pub(crate) seconds: Option<f64>,
    /// Begin after a line of input: several attacks can get ready, and begin together.
    #[arg(long, global = true)]
    pub(crate) wait: bool,
}

#[derive(Subcommand)]
pub(crate) enum Attack {
    /// Open connections, and do not say hello.
    Silent(Silent),
    /// Say a hello that is refused, again and again.
    Refused(Refused),
    /// Join a party with many identities.
    Join(Join),
    /// Announce a game, and give something else than the game.
    Source(Source),
    /// Ask for much, and do not read the answers.
    Unread(Unread),
    /// Send requests of one kind without a pause.
    Flood(Flood),
    /// Fill the link with mDNS records.
    Mdns(Mdns),
    /// Accept all that comes, and discard it: what an attack costs by itself.
    Sink(Sink),
}

impl Attack {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Silent(_) => "silent",
            Self::Refused(_) => "refused",
            Self::Join(_) => "join",
            Self::Source(_) => "source",
            Self::Unread(_) => "unread",
            Self::Flood(_) => "flood",
            Self::Mdns(_) => "mdns",
            Self::Sink(_) => "sink",
        }
    }
}

/// Where an attack comes from, where it goes, and how fast.
#[derive(Args, Clone)]
pub(crate) struct Aim {
    /// A peer to attack; several take turns.
    #[arg(long, required = true)]
    pub(crate) target: Vec<SocketAddr>,
    /// An address to come from; several take turns.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) bind: Vec<IpAddr>,
    /// How often a second.
    #[arg(long, default_value_t = 40.0)]
    pub(crate) rate: f64,
}

impl Aim {
    /// Returns the target whose turn it is.
    pub(crate) fn target(&self, turn: usize) -> Result<SocketAddr> {
        let target = self.target.iter().cycle().nth(turn % self.target.len().max(1));
        target.copied().context("an attack needs a target")
    }
}

/// Which party, and as how many peers.
#[derive(Args, Clone)]
pub(crate) struct Crowd {
    /// The party.
    #[arg(long)]
    pub(crate) network: NetworkName,
    /// How many identities are in use at a time.
    #[arg(long, default_value_t = 1)]
    pub(crate) identities: usize,
}

#[derive(Args)]
pub(crate) struct Silent {
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// How many connections are kept open at most.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) hold: usize,
    #[arg(long, value_enum, default_value_t = Say::Nothing)]
    pub(crate) say: Say,
}

/// What comes instead of a hello.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Say {
    /// Nothing at all.
    Nothing,
    /// Bytes on every stream, as many as the windows take.
    Windows,
    /// A hello, one byte a second.
    Slowly,
    /// What the other side says is not heard, so that the handshake stays half open.
    Deaf,
}

#[derive(Args)]
pub(crate) struct Refused {
    #[command(flatten)]
    pub(crate) aim: Aim,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    #[arg(long, value_enum, default_value_t = Wrong::Network)]
    pub(crate) wrong: Wrong,
}

/// What is wrong with a hello.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Wrong {
    /// It is of another party.
    Network,
    /// It is of another protocol version.
    Version,
    /// It has the id of another peer.
    Identity,
    /// It is a ping.
    Order,
}

#[derive(Args)]
pub(crate) struct Join {
    #[command(flatten)]
    pub(crate) aim: Aim,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    /// A catalog in JSON: all of its games are announced, each identity with other contents.
    #[arg(long)]
    pub(crate) catalog: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Then::Stay)]
    pub(crate) then: Then,
}

/// What a peer does that has joined, and whose library was read.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Then {
    /// Stay.
    Stay,
    /// Say goodbye, and join as another one.
    Goodbye,
    /// Leave without a word, and join as another one.
    Vanish,
    /// Join anew under another name, as if started again.
    Rename,
}

#[derive(Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) aim: Aim,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[arg(long, value_enum, default_value_t = Give::False)]
    pub(crate) give: Give,
    /// How fast chunks trickle.
    #[arg(long, default_value_t = 1024)]
    pub(crate) bytes_per_s: usize,
}

/// What a source gives of the game that it announces.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Give {
    /// Another content, consistent from the library to the chunks.
    False,
    /// No answer to what the game is.
    Nothing,
    /// What the game is, and no answer to requests for chunks.
    Head,
    /// The right claims, and wrong bytes.
    Wrong,
    /// The right claims, and bytes one after another.
    Trickle,
    /// The right claims, and the refusal of every chunk as busy.
    Busy,
}

/// A game, and who knows it.
#[derive(Args, Clone)]
pub(crate) struct Subject {
    /// The game.
    #[arg(long)]
    pub(crate) game: GameId,
    /// A peer that has the game; else the first target.
    #[arg(long)]
    pub(crate) learn_from: Option<SocketAddr>,
}

#[derive(Args)]
pub(crate) struct Unread {
    #[command(flatten)]
    pub(crate) aim: Aim,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[arg(long, value_enum, default_value_t = Ask::Pages)]
    pub(crate) ask: Ask,
    /// How many answers an identity leaves unread at a time.
    #[arg(long, default_value_t = 60)]
    pub(crate) requests: usize,
    /// How many bytes of each answer are read in a second.
    #[arg(long, default_value_t = 0)]
    pub(crate) bytes_per_s: usize,
    /// How many bytes of each answer may be sent before any are read.
    #[arg(long, default_value_t = 4096)]
    pub(crate) window: u32,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ask {
    /// What the game is.
    Head,
    /// Pages of its layout.
    Pages,
    /// Pages of the library.
    Library,
    /// Chunks.
    Chunks,
    /// A streamed installation.
    Stream,
}

#[derive(Args)]
pub(crate) struct Flood {
    #[command(flatten)]
    pub(crate) aim: Aim,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[arg(long, value_enum, default_value_t = Request::Reset)]
    pub(crate) request: Request,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Request {
    /// Half a header, and a reset.
    Reset,
    /// A header, one byte a second.
    Slow,
    /// The complaint that a right chunk came wrong.
    Complaint,
    /// A change of the library.
    Delta,
    /// The claim to fetch the game and to have all of it.
    Fetching,
    /// A ping.
    Ping,
    /// The question what the game is.
    Head,
}

#[derive(Args)]
pub(crate) struct Mdns {
    /// The address of the interface to send on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) bind: IpAddr,
    /// How many peers a second appear.
    #[arg(long, default_value_t = 2_000.0)]
    pub(crate) rate: f64,
    /// The party.
    #[arg(long)]
    pub(crate) network: NetworkName,
    /// Where the records say that the peers are; several take turns.
    #[arg(long, required = true)]
    pub(crate) points_to: Vec<SocketAddr>,
    /// Say goodbye for this peer; several take turns.
    #[arg(long)]
    pub(crate) goodbye: Vec<PeerId>,
    /// After so many names they come again; 0 for never.
    #[arg(long, default_value_t = 0)]
    pub(crate) names: u64,
    /// The port to send to: another one costs the link as much, and reaches nobody.
    #[arg(long, default_value_t = 5353)]
    pub(crate) port: u16,
}

#[derive(Args)]
pub(crate) struct Sink {
    /// Where to listen.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// The party that it says to be of.
    #[arg(long)]
    pub(crate) network: NetworkName,
}
