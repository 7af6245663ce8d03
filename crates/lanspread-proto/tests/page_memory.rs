//! How much memory one page can take, whatever is in it. Alone in its process: it counts every allocation.
#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use lanspread_proto::Attributes;
use lanspread_proto::layout::LayoutPage;
use lanspread_proto::limits::PAGE_MAX_BYTES;

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

fn most_while(read: impl FnOnce()) -> usize {
    let before = USED.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    read();
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn no_page_takes_more_than_4_mib() {
    let mut pages: Vec<Vec<u8>> = Vec::new();
    // Lists that promise more than there is, and texts that do.
    pages.push([&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &vec![0; PAGE_MAX_BYTES - 5]].concat());
    pages.push([&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &vec![b'a'; 1000]].concat());
    // Records that are as small as can be, and paths that share nearly all of their length.
    for first in ["a".to_owned(), vec!["d".repeat(250); 4].join("/")] {
        let mut page = vec![0x80, 0x80, 0x04, 0];
        page.push(u8::try_from(first.len() % 128).map_or(1, |low| low | 0x80));
        page.push(u8::try_from(first.len() / 128).map_or(0, |high| high));
        page.extend_from_slice(first.as_bytes());
        while page.len() < PAGE_MAX_BYTES {
            page.extend_from_slice(&[0, 1, b'b', 0]);
        }
        page.truncate(PAGE_MAX_BYTES);
        pages.push(page);
    }
    // Empty directories without end.
    pages.push([&[0, 0xff, 0xff, 0x07][..], &vec![0; PAGE_MAX_BYTES - 4]].concat());
    for page in &pages {
        let most = most_while(|| {
            if let Ok(page) = LayoutPage::new(page) {
                page.for_each(drop);
            }
            drop(Attributes::decode(page, 100_000));
        });
        assert!(most <= MOST_BYTES, "{most} bytes for {:?}", page.get(..8));
    }
}
