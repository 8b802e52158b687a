//! Wrong flags and files are reported in one clear line, and by the exit code.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::replica;
use serde_json::Value;
use testbed::process::Program;
use testbed::run_folder::RunFolder;

/// How long the operator may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);
const IDENTITY: [&str; 7] = ["run", "--namespace", "a", "--pod-name", "b", "--pod-uid", "c"];

/// Runs the operator until it exits: its exit code and output.
async fn run_to_exit(folder: &RunFolder, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let log = folder.path().join(format!("{:016x}.log", fastrand::u64(..)));
    let program = Program::new(replica::operator_binary().await?, &log).arguments(arguments);
    let status = program.start()?.wait_exit(EXIT_TIMEOUT).await?;
    Ok((status.code(), fs::read_to_string(&log)?))
}

#[tokio::test]
async fn a_wrong_flag_is_named_with_exit_code_2() -> Result<()> {
    let folder = RunFolder::create()?;
    let mut cases: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (vec!["run"], vec!["--namespace", "--pod-name", "--pod-uid"]),
        (vec!["walk"], vec!["walk"]),
    ];
    for (flags, words) in [
        (vec!["--frequency", "7"], vec!["--frequency"]),
        (vec!["--resync-period", "soon"], vec!["--resync-period", "soon", "use for example 15s"]),
        (vec!["--resync-period", "0s"], vec!["--resync-period", "must be longer than zero"]),
        (vec!["--max-concurrent-writes", "0"], vec!["--max-concurrent-writes", "0"]),
        (vec!["--http-address", "here"], vec!["--http-address", "here"]),
        (vec!["--trusted-namespaces", "platform"], vec!["--default-service-account"]),
        (vec!["--log-format", "xml"], vec!["--log-format", "xml", "json"]),
        (
            vec!["--leader-election-lease-duration", "5s"],
            vec![
                "--leader-election-lease-duration (5s) must be longer than",
                "--leader-election-renew-deadline (10s)",
            ],
        ),
        (
            vec!["--leader-election-retry-period", "10s"],
            vec![
                "--leader-election-renew-deadline (10s) must be longer than",
                "--leader-election-retry-period (10s)",
            ],
        ),
        (vec!["--leader-election-lease-duration", "15500ms"], vec!["must be whole seconds"]),
    ] {
        cases.push(([IDENTITY.to_vec(), flags].concat(), words));
    }
    for (arguments, words) in cases {
        let (code, output) = run_to_exit(&folder, &arguments).await?;
        ensure!(code == Some(2), "{arguments:?} exited with {code:?}: {output}");
        for word in words {
            ensure!(output.contains(word), "{arguments:?}: no {word:?} in: {output}");
        }
        let errors =
            output.lines().filter(|line| line.contains("error:") || is_operator_error(line));
        ensure!(errors.count() == 1, "{arguments:?}: expected one error line: {output}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unusable_kubeconfig_is_named_in_one_line() -> Result<()> {
    let folder = RunFolder::create()?;
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        anyhow::Ok(file)
    };
    let unknown = "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n";
    for path in [
        folder.path().join("missing.yaml"),
        file("garbage.yaml", ": [not\n  yaml: {at all\n- \"\n")?,
        file("text.yaml", "just text\n")?,
        file("empty.yaml", "")?,
        file("unknown.yaml", unknown)?,
    ] {
        let path = path.to_str().context("the path is not UTF-8")?;
        let arguments =
            [&IDENTITY[..], &["--http-address", "127.0.0.1:0", "--kubeconfig", path]].concat();
        let (code, output) = run_to_exit(&folder, &arguments).await?;
        ensure!(code == Some(1), "{path} exited with {code:?}: {output}");
        ensure!(output.lines().count() == 1, "expected one line: {output}");
        let line: Value = serde_json::from_str(&output).with_context(|| output.clone())?;
        let message = line["message"].as_str().unwrap_or_default();
        ensure!(message.contains(path) && message.contains("--kubeconfig"), "{message}");
    }
    Ok(())
}

/// Whether the line is an error of the operator, not of the parser of arguments.
fn is_operator_error(line: &str) -> bool {
    line.starts_with("configmapsync: ")
}
