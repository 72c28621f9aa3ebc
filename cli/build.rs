//! Notes the compiler, and the commit where `CAIRN_COMMIT` names one, for `cairn version`.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CAIRN_COMMIT");
    let compiler = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    let version = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=CAIRN_RUSTC={}", version.unwrap_or_default());
    println!("cargo:rustc-env=CAIRN_COMMIT={}", env::var("CAIRN_COMMIT").unwrap_or_default());
}
