//! Loaded before the C library (`LD_PRELOAD`), it makes disks fail on demand.
//!
//! The first byte of the file that `FAULTSHIM_CONTROL` names says what fails, and may change at any time:
//! `0` nothing, `1` writes to files (`ENOSPC`), `2` `fsync` and `fdatasync` (`EIO`), `3` both calls take 20 ms longer.
//! Change it in place: it is mapped, and must never be shorter.
//! Sockets, pipes and standard streams are left alone. Linux only; on other systems the library is empty.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use libc::{c_char, c_int, c_void, off_t, size_t, ssize_t};

const NO_SPACE: u8 = b'1';
const FSYNC_FAILS: u8 = b'2';
const FSYNC_IS_SLOW: u8 = b'3';

/// Where the control byte lies once the file is mapped.
static CONTROL: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Stands in where there is no control file.
static NOTHING: AtomicU8 = AtomicU8::new(b'0');

fn mode() -> u8 {
    let mut control = CONTROL.load(Ordering::Acquire);
    if control.is_null() {
        control = map_control().unwrap_or(NOTHING.as_ptr());
        CONTROL.store(control, Ordering::Release);
    }
    // Safety: either the mapping, which is never undone, or a static.
    unsafe { control.read_volatile() }
}

/// Maps the control file; none if it is not named or cannot be read.
fn map_control() -> Option<*mut u8> {
    // Safety: a constant name with its end; what `getenv` answers is a text with its end or null, used at once.
    unsafe {
        let path = libc::getenv(c"FAULTSHIM_CONTROL".as_ptr());
        if path.is_null() {
            return None;
        }
        let file = libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let mapped = libc::mmap(std::ptr::null_mut(), 1, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        libc::close(file);
        (mapped != libc::MAP_FAILED).then_some(mapped.cast())
    }
}

/// A file on a disk, and none of the standard streams.
fn is_file(fd: c_int) -> bool {
    if fd <= 2 {
        return false;
    }
    // Safety: `fstat` fills the structure if it answers 0, and only then it is read.
    unsafe {
        let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
        libc::fstat(fd, about.as_mut_ptr()) == 0
            && about.assume_init().st_mode & libc::S_IFMT == libc::S_IFREG
    }
}

fn fail(code: c_int) -> c_int {
    // Safety: the place of this thread's error number.
    unsafe { *libc::__errno_location() = code };
    -1
}

/// The function of this name behind this library.
fn real(name: *const c_char) -> *mut c_void {
    // Safety: a constant name with its end.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name) };
    assert!(!found.is_null(), "the C library has this function");
    found
}

macro_rules! stand_in {
    ($($name:literal $function:ident($fd:ident $(, $arg:ident: $kind:ty)*) -> $answer:ty, $refuse:expr;)+) => {$(
        /// Stands in for the function of this name.
        ///
        /// # Safety
        ///
        /// As the function of this name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function($fd: c_int $(, $arg: $kind)*) -> $answer {
            static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            let refuse: fn(c_int) -> Option<c_int> = $refuse;
            if let Some(answer) = refuse($fd) {
                return answer as $answer;
            }
            let mut function = REAL.load(Ordering::Acquire);
            if function.is_null() {
                function = real($name.as_ptr());
                REAL.store(function, Ordering::Release);
            }
            // Safety: the C library's own function of this name, which has this form; the caller keeps its rules.
            unsafe {
                let function: unsafe extern "C" fn(c_int $(, $kind)*) -> $answer = std::mem::transmute(function);
                function($fd $(, $arg)*)
            }
        }
    )+};
}

fn refuse_write(fd: c_int) -> Option<c_int> {
    (mode() == NO_SPACE && is_file(fd)).then(|| fail(libc::ENOSPC))
}

fn refuse_sync(fd: c_int) -> Option<c_int> {
    match mode() {
        FSYNC_FAILS if is_file(fd) => Some(fail(libc::EIO)),
        FSYNC_IS_SLOW if is_file(fd) => {
            std::thread::sleep(std::time::Duration::from_millis(20));
            None
        }
        _ => None,
    }
}

stand_in! {
    c"write" write(fd, bytes: *const c_void, count: size_t) -> ssize_t, refuse_write;
    c"pwrite" pwrite(fd, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t, refuse_write;
    c"pwrite64" pwrite64(fd, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t, refuse_write;
    c"ftruncate" ftruncate(fd, length: off_t) -> c_int, refuse_write;
    c"ftruncate64" ftruncate64(fd, length: off_t) -> c_int, refuse_write;
    c"fsync" fsync(fd) -> c_int, refuse_sync;
    c"fdatasync" fdatasync(fd) -> c_int, refuse_sync;
}
