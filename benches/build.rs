//! Passes on where `host/gateway` has built the policy that misbehaves.

fn main() {
    if let Ok(zoo) = std::env::var("DEP_HOLDFAST_ZOO") {
        println!("cargo::rustc-env=HOLDFAST_ZOO={zoo}");
    }
}
