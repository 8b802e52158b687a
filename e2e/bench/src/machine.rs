//! The machine and the versions, without which measured values mean nothing.

use std::fs;

/// The machine and the versions, with that of Kubernetes, in one line.
pub fn description(kubernetes: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let (model, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = value(&model, "model name").unwrap_or("unknown CPU");
    let kibibytes = value(&memory, "MemTotal").and_then(|it| it.split(' ').next()?.parse().ok());
    let gibibytes = kibibytes.map_or(0, |kibibytes: u64| kibibytes.div_ceil(1024 * 1024));
    format!(
        "{cores} cores of {model}, {gibibytes} GiB of memory; ConfigMapSync {} (profile measure), \
         Kubernetes {kubernetes}",
        env!("CARGO_PKG_VERSION"),
    )
}

/// The value of the first line `name: value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start().strip_prefix(':')?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_the_name_of_the_line() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nMemTotal:  24 kB\n";
        assert_eq!(value(text, "model name"), Some("A CPU @ 2 GHz"));
        assert_eq!(value(text, "MemTotal"), Some("24 kB"));
        assert_eq!(value(text, "cache size"), None);
        assert!(description("v1").ends_with("Kubernetes v1"));
    }
}
