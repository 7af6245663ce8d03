//! Runs the programs of the folder `examples`, which check themselves.

#[path = "../examples/download_progress.rs"]
mod download_progress;
#[path = "../examples/streamed_install.rs"]
mod streamed_install;
#[path = "../examples/two_peers.rs"]
mod two_peers;

#[test]
fn two_peers_see_the_games_of_each_other() {
    two_peers::main().unwrap();
}

#[test]
fn a_download_reports_its_progress() {
    download_progress::main().unwrap();
}

#[test]
fn a_streamed_installation_stores_no_archive() {
    streamed_install::main().unwrap();
}
