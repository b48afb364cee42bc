//! What the standard library would bring: an allocator, and what becomes of a panic. Nothing prints what a panic
//! says, as nobody reads it: so none of the code that words it is in the module.

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Ends the instance, as a panic does in every module that cannot unwind.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
