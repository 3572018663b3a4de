//! Settings of graphics drivers that a program makes before it does anything else.
#![allow(unsafe_code, reason = "the environment of this process must change before the driver is loaded")]

/// Keeps Mesa's Vulkan from printing an error line for each device if `XDG_RUNTIME_DIR` is unset, by `NODEVICE_SELECT=1`: the layer that
/// prints it selects a device for desktops. Call this first in `main`; with other threads, or where a variable is set, it does nothing.
pub fn silence_mesa() {
    // Mesa is on Linux; elsewhere there is no such folder.
    let is_alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    let is_set = |name| std::env::var_os(name).is_some();
    if is_alone && !is_set("XDG_RUNTIME_DIR") && !is_set("NODEVICE_SELECT") {
        // SAFETY: no other thread reads or writes the environment, since there is none.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
