//! How much memory one page can take, whatever is in it. Tests take turns: every allocation is counted.
#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanspread_proto::layout::{LayoutPage, encode_layout};
use lanspread_proto::library::{GameSummary, LibraryPage, encode_library};
use lanspread_proto::limits::PAGE_MAX_BYTES;
use lanspread_proto::{Attributes, RelPath};

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all is left to the system's allocator; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(
            USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(),
            Ordering::Relaxed,
        );
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What reading a page takes at most, beside the page and what its reader keeps.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// One test at a time: what another one allocates counts as well.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn most_while(read: impl FnOnce()) -> usize {
    let before = USED.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    read();
    MOST.load(Ordering::Relaxed) - before
}

/// Reads a page as each kind of page, and keeps nothing. Returns how many records it had.
fn read_all(page: &[u8]) -> usize {
    let files = LayoutPage::new(page).map_or(0, |page| page.filter(Result::is_ok).count());
    let games = LibraryPage::new(page).map_or(0, |page| page.filter(Result::is_ok).count());
    let directories = Attributes::decode(page, 0).map_or(0, |told| told.directories.len());
    files.max(games).max(directories)
}

#[test]
fn a_page_that_promises_more_than_it_holds_takes_no_memory_for_it() {
    let _turn = turn();
    let pages = [
        [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &vec![0; PAGE_MAX_BYTES - 5]].concat(),
        [&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &vec![b'a'; 1000]].concat(),
        [&[0, 0xff, 0xff, 0x07][..], &vec![0; PAGE_MAX_BYTES - 4]].concat(),
    ];
    for page in &pages {
        let most = most_while(|| assert_eq!(read_all(page), 0));
        assert!(most <= MOST_BYTES, "{most} bytes for {:?}", page.get(..8));
    }
}

#[test]
fn a_full_page_takes_no_more_than_4_mib_whatever_its_paths_share() {
    let _turn = turn();
    // Paths of 1,003 bytes, of which all but the last few are those of the one before.
    let deep = vec!["d".repeat(249); 4].join("/");
    let files: Vec<RelPath> =
        (0..60_000).map(|n| format!("{deep}{n:05}").parse().unwrap()).collect();
    let layout = encode_layout(files.iter().map(|file| (file, 0))).swap_remove(0);
    let games: Vec<_> = (0..8_000)
        .map(|n| GameSummary {
            id: format!("{}{n:05}", "g".repeat(90)).parse().unwrap(),
            version: "1".parse().unwrap(),
            size: 0,
            manifest_hash: [0; 32].into(),
            content_root: None,
        })
        .collect();
    let library = encode_library(&games).swap_remove(0);
    for (page, records_min) in [(layout, 20_000), (library, 5_000)] {
        let most = most_while(|| assert!(read_all(&page) >= records_min));
        assert!(most <= MOST_BYTES, "{most} bytes");
    }
}

#[test]
fn all_empty_directories_that_there_may_be_take_no_more_than_their_paths() {
    let _turn = turn();
    let deep = vec!["d".repeat(249); 4].join("/");
    let directories = (0..4_096).map(|n| format!("{deep}{n:05}").parse().unwrap()).collect();
    let page = Attributes { directories, ..Attributes::default() }.encode().unwrap();
    let most = most_while(|| assert_eq!(read_all(&page), 4_096));
    assert!(most <= 4_096 * 1_100 + MOST_BYTES, "{most} bytes");
}
