//! Compiles what counts the branches of the UnRAR library, which no Rust compiler sees.

fn main() {
    println!("cargo:rerun-if-changed=native/coverage.c");
    cc::Build::new().file("native/coverage.c").opt_level(2).compile("unrar_coverage");
    // libFuzzer has a function of this name that ends the program; the first one that is found counts, and ours is.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,muldefs");
}
