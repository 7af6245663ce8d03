//! The structs that the `UnRAR` library reads and fills, as its `dll.hpp` declares them.
//!
//! The library packs its structs to single bytes and `unrar_sys` does not, so with the declarations
//! there every field after the first pointer of a header would be read from the wrong place.

use std::ffi::{c_char, c_int, c_uint};
use std::mem::offset_of;

use unrar_sys::{LPARAM, WCHAR};

/// Characters in the names that every header has, the end mark included.
const SHORT_NAME_CHARS: usize = 1024;
/// `HOST_UNIX`: Unix, or unknown.
pub(super) const HOST_UNIX: c_uint = 3;
/// `ERAR_LARGE_DICT`, which `unrar_sys` does not name.
pub(super) const ERAR_LARGE_DICT: c_int = 25;

/// `RAROpenArchiveDataEx`.
#[repr(C, packed)]
pub(super) struct OpenData {
    pub(super) archive_name: *const c_char,
    pub(super) archive_name_wide: *const WCHAR,
    pub(super) open_mode: c_uint,
    pub(super) open_result: c_uint,
    pub(super) comment: *mut c_char,
    pub(super) comment_sizes_and_state: [c_uint; 3],
    pub(super) flags: c_uint,
    pub(super) callback: Option<unrar_sys::Callback>,
    pub(super) user_data: LPARAM,
    pub(super) operation_flags: c_uint,
    pub(super) comment_wide: *mut WCHAR,
    pub(super) reserved: [c_uint; 25],
}

/// `RARHeaderDataEx`.
#[repr(C, packed)]
pub(super) struct HeaderData {
    pub(super) archive_name: [c_char; 1024],
    pub(super) archive_name_wide: [WCHAR; 1024],
    pub(super) file_name: [c_char; 1024],
    pub(super) file_name_wide: [WCHAR; SHORT_NAME_CHARS],
    pub(super) flags: c_uint,
    pub(super) packed_size: [c_uint; 2],
    pub(super) unpacked_size_low: c_uint,
    pub(super) unpacked_size_high: c_uint,
    pub(super) host_os: c_uint,
    pub(super) crc32: c_uint,
    pub(super) dos_time: c_uint,
    pub(super) unpack_version: c_uint,
    pub(super) method: c_uint,
    pub(super) attributes: c_uint,
    pub(super) comment: *mut c_char,
    pub(super) comment_sizes_and_state: [c_uint; 3],
    pub(super) dictionary_kib: c_uint,
    pub(super) hash_type: c_uint,
    pub(super) hash: [c_char; 32],
    pub(super) redirection_type: c_uint,
    pub(super) redirection_name: *mut WCHAR,
    pub(super) redirection_name_size: c_uint,
    pub(super) redirection_to_directory: c_uint,
    pub(super) modified_low: c_uint,
    pub(super) modified_high: c_uint,
    pub(super) created: [c_uint; 2],
    pub(super) accessed: [c_uint; 2],
    pub(super) archive_name_long: *mut WCHAR,
    pub(super) archive_name_long_size: c_uint,
    pub(super) file_name_long: *mut WCHAR,
    pub(super) file_name_long_size: c_uint,
    pub(super) reserved: [c_uint; 982],
}

#[cfg(all(target_pointer_width = "64", not(windows)))]
const _: () = {
    assert!(offset_of!(OpenData, callback) == 48 && size_of::<OpenData>() == 176);
    assert!(offset_of!(HeaderData, redirection_type) == 10_344);
    assert!(size_of::<HeaderData>() == 14_340);
};
