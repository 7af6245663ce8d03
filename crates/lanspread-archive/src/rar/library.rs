//! The one place that calls the `UnRAR` library.
//!
//! It gives an archive as headers and blocks of content. The library never writes a file: it is only
//! asked to *test* entries, and hands over what it unpacks on the way. What it says about an entry is
//! not checked here.
//!
//! The library keeps process-wide state without locks (an error code, tables that it fills on first
//! use), so only one thread at a time runs inside it: see [`LibraryGuard`]. The lock is free while a block is handled,
//! so a slow disk or receiver does not hold up other archives.

use std::any::Any;
use std::ffi::{c_char, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::time::{Duration, SystemTime};

use unrar_sys::{LPARAM, UINT, WCHAR};

use super::layout::{HOST_UNIX, HeaderData, OpenData};
use super::lock::LibraryGuard;
use super::text::{WideText, decoded_name, wide_text};
use super::volumes::refuse_special_after;
use crate::error::UnpackError;
use crate::platform::{self, ArchiveName};

/// Longest path that the library hands out, `MAXPATHSIZE` of its sources.
const PATH_MAX_CHARS: usize = 0x10000;
/// Characters that a buffer for a name takes, the end mark included: far above the 1,024 bytes of the
/// longest path, so that a name which fills it is refused in any case.
const NAME_BUFFER_CHARS: usize = 4096;
/// Answers to the library's calls back.
const STOP: c_int = -1;
const GO_ON: c_int = 0;
const LEAVE_GIVEN: c_int = 1;
/// `UCM_LARGEDICT`: the library asks whether a dictionary above 4 GiB may be had.
const UCM_LARGE_DICTIONARY: UINT = 5;
/// Steps of 100 ns from 1601, where Windows begins to count, to 1970.
const WINDOWS_TO_UNIX_EPOCH: u64 = 116_444_736_000_000_000;

/// Why the library stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// One of the library's `ERAR_` codes.
    Code(c_int),
    /// A following volume is not there.
    MissingVolume(PathBuf),
    /// A following volume is refused.
    Refused(UnpackError),
    /// It asked for a password.
    PasswordWanted,
    /// The handler of the blocks said so.
    Stopped,
}

/// What the library says about one entry.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: String,
    /// Whether the name is text. Where not, U+FFFD stands in it for what is none.
    pub(super) is_text: bool,
    /// The name filled the buffer, so more of it may be missing.
    pub(super) is_name_cut: bool,
    pub(super) is_directory: bool,
    pub(super) is_encrypted: bool,
    pub(super) is_continued: bool,
    pub(super) is_from_unix: bool,
    pub(super) attributes: u32,
    pub(super) size_bytes: u64,
    pub(super) dictionary_bytes: u64,
    pub(super) modified: Option<SystemTime>,
    /// 0, or the kind of link as the library numbers them.
    pub(super) redirection_type: u32,
    /// Where the link leads, where its kind has a name for that.
    pub(super) redirection_name: String,
}

type OnBlock<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// What the library's calls back meet while it runs.
struct Events<'a> {
    on_block: Option<&'a mut OnBlock<'a>>,
    guard: Option<LibraryGuard>,
    entered_volumes: Vec<PathBuf>,
    failure: Option<Failure>,
    panic: Option<Box<dyn Any + Send>>,
}

impl<'a> Events<'a> {
    fn new(guard: LibraryGuard, on_block: Option<&'a mut OnBlock<'a>>) -> Self {
        Self {
            on_block,
            guard: Some(guard),
            entered_volumes: Vec::new(),
            failure: None,
            panic: None,
        }
    }

    /// This object as the number that the library hands back to [`on_event`].
    fn as_user_data(&mut self) -> LPARAM {
        ptr::from_mut(self).expose_provenance() as LPARAM
    }

    /// Gives the library free, and lets a panic of the block handler go on where it is safe.
    fn leave(mut self) -> (Option<Failure>, Vec<PathBuf>) {
        drop(self.guard.take());
        if let Some(payload) = self.panic.take() {
            panic::resume_unwind(payload);
        }
        (self.failure, self.entered_volumes)
    }

    fn fail(&mut self, failure: Failure) -> c_int {
        self.failure.get_or_insert(failure);
        STOP
    }

    fn block(&mut self, block: &[u8]) -> c_int {
        let Some(on_block) = &mut self.on_block else { return GO_ON };
        self.guard = None;
        let answer = panic::catch_unwind(AssertUnwindSafe(|| on_block(block)));
        // The library cannot be left from here without the lock, so it is waited for however long it takes.
        self.guard = Some(LibraryGuard::lock_without_limit());
        match answer {
            Ok(ControlFlow::Continue(())) => GO_ON,
            Ok(ControlFlow::Break(())) => self.fail(Failure::Stopped),
            Err(payload) => {
                self.panic = Some(payload);
                STOP
            }
        }
    }
}

/// The library's callback. Nothing in here may unwind into it.
extern "C" fn on_event(message: UINT, user_data: LPARAM, first: LPARAM, second: LPARAM) -> c_int {
    let events = ptr::with_exposed_provenance_mut::<Events<'_>>(user_data as usize);
    // SAFETY: `user_data` comes from `Events::as_user_data` of the call into the library that is
    // running on this thread; that call keeps the object alive and does not touch it meanwhile.
    let events = unsafe { &mut *events };
    match message {
        unrar_sys::UCM_PROCESSDATA => {
            let Ok(length @ 1..) = usize::try_from(second) else { return GO_ON };
            let start = ptr::with_exposed_provenance::<u8>(first as usize);
            // SAFETY: for this message the library passes the start and the length of a buffer of
            // its own, which is initialised and stays unchanged until this function returns.
            events.block(unsafe { std::slice::from_raw_parts(start, length) })
        }
        unrar_sys::UCM_NEEDPASSWORD | unrar_sys::UCM_NEEDPASSWORDW => {
            events.fail(Failure::PasswordWanted)
        }
        unrar_sys::UCM_CHANGEVOLUME if second == unrar_sys::RAR_VOL_NOTIFY => {
            // SAFETY: for this message the library passes a path of its own that ends with zero.
            let volume = unsafe { narrow_path(first) };
            let refused = refuse_special_after(&volume).err();
            events.entered_volumes.push(volume);
            refused.map_or(GO_ON, |error| events.fail(Failure::Refused(error)))
        }
        unrar_sys::UCM_CHANGEVOLUMEW if second == unrar_sys::RAR_VOL_ASK => {
            // SAFETY: for this message the library passes a path of its own that ends with zero, in
            // a buffer of `PATH_MAX_CHARS` characters.
            let missing = unsafe { wide_path(first) };
            events.fail(Failure::MissingVolume(missing))
        }
        unrar_sys::UCM_CHANGEVOLUME if second == unrar_sys::RAR_VOL_ASK => STOP,
        // Whoever reads the headers has refused dictionaries that are too large.
        UCM_LARGE_DICTIONARY => LEAVE_GIVEN,
        _ => GO_ON,
    }
}

/// # Safety
/// `start` is the address of characters that end with zero and stay unchanged meanwhile.
unsafe fn narrow_path(start: LPARAM) -> PathBuf {
    let start = ptr::with_exposed_provenance::<c_char>(start as usize);
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::ffi::CStr::from_ptr(start) }.to_bytes();
    PathBuf::from(platform::name_from_bytes(bytes.to_vec()))
}

/// # Safety
/// `start` is the address of wide characters that end with zero or after [`PATH_MAX_CHARS`], and stay
/// unchanged meanwhile.
unsafe fn wide_path(start: LPARAM) -> PathBuf {
    let start = ptr::with_exposed_provenance::<WCHAR>(start as usize);
    let characters = (0..PATH_MAX_CHARS)
        // SAFETY: the caller's promise; `take_while` ends at the zero.
        .map(|index| unsafe { start.add(index).read_unaligned() })
        .take_while(|character| *character != 0);
    PathBuf::from(decoded_name(wide_text(characters).text))
}

/// What an archive is opened for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Headers alone: contents are skipped, those of solid archives too.
    List,
    /// Headers and contents.
    Unpack,
}

/// An archive that the library has open for one pass from front to back.
pub(super) struct OpenArchive {
    handle: NonNull<unrar_sys::Handle>,
    header: Box<HeaderData>,
    name: NameBuffer,
    redirection_name: NameBuffer,
    entered_volumes: Vec<PathBuf>,
}

/// A buffer in which the library puts a name.
struct NameBuffer(Box<[WCHAR; NAME_BUFFER_CHARS]>);

impl NameBuffer {
    const SIZE: c_uint = NAME_BUFFER_CHARS as c_uint;

    fn new() -> Self {
        Self(Box::new([0; NAME_BUFFER_CHARS]))
    }

    fn text(&self) -> WideText {
        wide_text(self.0.iter().copied().take_while(|character| *character != 0))
    }

    /// Whether more of the name may be missing: the last place is that of the end mark.
    fn is_full(&self) -> bool {
        self.0.iter().take(NAME_BUFFER_CHARS - 1).all(|character| *character != 0)
    }
}

impl OpenArchive {
    pub(super) fn open(
        guard: LibraryGuard,
        path: &Path,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let Some(name) = ArchiveName::new(path) else {
            return Err(Failure::Code(unrar_sys::ERAR_EOPEN));
        };
        let mut events = Events::new(guard, None);
        let user_data = events.as_user_data();
        let mut data = OpenData {
            archive_name: name.narrow(),
            archive_name_wide: name.wide(),
            open_mode: match purpose {
                Purpose::List => unrar_sys::RAR_OM_LIST,
                Purpose::Unpack => unrar_sys::RAR_OM_EXTRACT,
            },
            open_result: 0,
            comment: ptr::null_mut(),
            comment_sizes_and_state: [0; 3],
            flags: 0,
            callback: Some(on_event),
            user_data,
            operation_flags: 0,
            comment_wide: ptr::null_mut(),
            reserved: [0; 25],
        };
        // SAFETY: `data` has the layout that the library's header declares, its names end with zero
        // and outlive the call, and `user_data` is what `on_event` expects.
        let handle = unsafe { unrar_sys::RAROpenArchiveEx((&raw mut data).cast()) };
        let opened = NonNull::new(handle.cast_mut()).map(|handle| Self {
            handle,
            header: zeroed_header(),
            name: NameBuffer::new(),
            redirection_name: NameBuffer::new(),
            entered_volumes: Vec::new(),
        });
        if opened.is_some() {
            // SAFETY: the handle is open. After a failure it is open as well, to be closed.
            unsafe { unrar_sys::RARSetCallback(handle, None, 0) };
        }
        let (failure, _) = events.leave();
        let result = data.open_result as c_int;
        match (failure, opened) {
            (Some(failure), _) => Err(failure),
            (None, Some(opened)) if result == unrar_sys::ERAR_SUCCESS => Ok(opened),
            (None, _) if result == unrar_sys::ERAR_SUCCESS => {
                Err(Failure::Code(unrar_sys::ERAR_UNKNOWN))
            }
            (None, _) => Err(Failure::Code(result)),
        }
    }

    /// The header of the next entry, or `None` at the end. Each entry must be unpacked or skipped
    /// before the next.
    pub(super) fn next_header(&mut self, guard: LibraryGuard) -> Result<Option<Header>, Failure> {
        self.header.file_name_long = self.name.0.as_mut_ptr();
        self.header.file_name_long_size = NameBuffer::SIZE;
        // The library writes it for links alone, so it must be without what stood there before.
        self.redirection_name = NameBuffer::new();
        self.header.redirection_name = self.redirection_name.0.as_mut_ptr();
        self.header.redirection_name_size = NameBuffer::SIZE;
        let header = (&raw mut *self.header).cast::<unrar_sys::HeaderDataEx>();
        let answer = self.call(guard, None, |handle| {
            // SAFETY: the handle is open, and `header` points to a struct of the layout that the
            // library declares. Its two names point to buffers of the sizes that stand beside them,
            // which live as long as the call; every other optional pointer is null.
            unsafe { unrar_sys::RARReadHeaderEx(handle, header) }
        });
        match answer {
            Ok(()) => Ok(Some(read_header(&self.header, &self.name, &self.redirection_name))),
            Err(Failure::Code(unrar_sys::ERAR_END_ARCHIVE)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Unpacks the entry whose header was read last, and compares its checksum at the end.
    ///
    /// `on_block` gets its content in blocks of up to some megabytes, and may stop with `Break`.
    pub(super) fn unpack<'a>(
        &mut self,
        guard: LibraryGuard,
        on_block: &'a mut OnBlock<'a>,
    ) -> Result<(), Failure> {
        self.call(guard, Some(on_block), |handle| {
            // SAFETY: the handle is open; no paths are given, as testing writes nothing.
            unsafe {
                unrar_sys::RARProcessFile(handle, unrar_sys::RAR_TEST, ptr::null(), ptr::null())
            }
        })
    }

    /// Passes over the entry whose header was read last, in an archive opened to be listed.
    pub(super) fn skip(&mut self, guard: LibraryGuard) -> Result<(), Failure> {
        self.call(guard, None, |handle| {
            // SAFETY: the handle is open; no paths are given, as skipping writes nothing.
            unsafe {
                unrar_sys::RARProcessFile(handle, unrar_sys::RAR_SKIP, ptr::null(), ptr::null())
            }
        })
    }

    /// The following volumes that have been opened since this was asked last.
    pub(super) fn take_entered_volumes(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.entered_volumes)
    }

    fn call<'a>(
        &mut self,
        guard: LibraryGuard,
        on_block: Option<&'a mut OnBlock<'a>>,
        operation: impl FnOnce(*const unrar_sys::Handle) -> c_int,
    ) -> Result<(), Failure> {
        let mut events = Events::new(guard, on_block);
        let user_data = events.as_user_data();
        let handle = self.handle.as_ptr().cast_const();
        // SAFETY: the handle is open, and `user_data` stays what `on_event` expects until it is
        // taken back below.
        unsafe { unrar_sys::RARSetCallback(handle, Some(on_event), user_data) };
        let code = operation(handle);
        // SAFETY: the handle is open.
        unsafe { unrar_sys::RARSetCallback(handle, None, 0) };
        let (failure, mut entered_volumes) = events.leave();
        self.entered_volumes.append(&mut entered_volumes);
        match failure {
            Some(failure) => Err(failure),
            None if code == unrar_sys::ERAR_SUCCESS => Ok(()),
            None => Err(Failure::Code(code)),
        }
    }
}

impl Drop for OpenArchive {
    fn drop(&mut self) {
        // While another one is stuck inside, an open file is left behind rather than waited for.
        let Some(_guard) = LibraryGuard::lock_unless_stuck() else { return };
        // SAFETY: the handle is open, has no callback, and nobody uses it afterwards.
        unsafe { unrar_sys::RARCloseArchive(self.handle.as_ptr()) };
    }
}

fn zeroed_header() -> Box<HeaderData> {
    let header = Box::new(MaybeUninit::zeroed());
    // SAFETY: `HeaderData` consists of integers and raw pointers, for which all zeros are valid.
    unsafe { Box::<MaybeUninit<HeaderData>>::assume_init(header) }
}

fn read_header(data: &HeaderData, name: &NameBuffer, redirection_name: &NameBuffer) -> Header {
    let flags = data.flags;
    let WideText { text, is_text } = name.text();
    let modified = join(data.modified_low, data.modified_high);
    Header {
        is_name_cut: name.is_full(),
        name: decoded_name(text),
        is_text,
        is_directory: flags & unrar_sys::RHDF_DIRECTORY != 0,
        is_encrypted: flags & unrar_sys::RHDF_ENCRYPTED != 0,
        is_continued: flags & unrar_sys::RHDF_SPLITBEFORE != 0,
        is_from_unix: data.host_os == HOST_UNIX,
        attributes: data.attributes,
        size_bytes: join(data.unpacked_size_low, data.unpacked_size_high),
        dictionary_bytes: u64::from(data.dictionary_kib) * 1024,
        modified: modified
            .checked_sub(WINDOWS_TO_UNIX_EPOCH)
            .and_then(|steps| SystemTime::UNIX_EPOCH.checked_add(windows_duration(steps))),
        redirection_type: data.redirection_type,
        // One that is cut, or no text, is the name of nothing in the archive.
        redirection_name: decoded_name(redirection_name.text().text),
    }
}

fn windows_duration(steps: u64) -> Duration {
    Duration::from_secs(steps / 10_000_000) + Duration::from_nanos(steps % 10_000_000 * 100)
}

fn join(low: c_uint, high: c_uint) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
