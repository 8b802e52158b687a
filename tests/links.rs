//! The links of the documentation: every file and every heading that a page points to exists.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use pulldown_cmark::Event;
use pulldown_cmark::Options;
use pulldown_cmark::Parser;
use pulldown_cmark::Tag;
use pulldown_cmark::TagEnd;

/// The pages at the root of the repository; those below `docs` are found.
const PAGES: [&str; 5] =
    ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "chart/README.md"];
/// README is the first page, not the manual.
const MAX_README_LINES: usize = 150;

/// What one page links to, and what can be linked in it.
#[derive(Debug, Default)]
struct Page {
    /// Targets of links and images, as written.
    links: Vec<String>,
    /// Ids of headings, as GitHub derives them.
    anchors: BTreeSet<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn markdown_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files.extend(markdown_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files
}

/// Every page, by its path from the root of the repository.
fn pages() -> BTreeMap<PathBuf, Page> {
    let paths =
        PAGES.iter().map(|page| root().join(page)).chain(markdown_below(&root().join("docs")));
    paths
        .map(|path| {
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            let path = path.strip_prefix(root()).expect("it is below the root").to_owned();
            (path, parse(&text))
        })
        .collect()
}

fn parse(text: &str) -> Page {
    let mut page = Page::default();
    let mut slugs: BTreeMap<String, usize> = BTreeMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let earlier = slugs.entry(slug.clone()).or_default();
                let anchor = if *earlier == 0 { slug } else { format!("{slug}-{earlier}") };
                *earlier += 1;
                page.anchors.insert(anchor);
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            _ => {}
        }
    }
    page
}

/// The id that GitHub gives a heading with this text.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter if letter.is_alphanumeric() => Some(letter),
            _ => None,
        })
        .collect()
}

/// The file that `link` on the page `from` names, and the anchor in it. `None` for other hosts.
fn target(from: &Path, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor.to_owned())),
        None => (link, None),
    };
    if file.is_empty() {
        return Some((from.to_owned(), anchor));
    }
    let mut path = from.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{link} leaves the repository"),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Some((path, anchor))
}

#[test]
fn every_link_has_a_target() {
    let pages = pages();
    let mut broken = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            let Some((file, anchor)) = target(path, link) else { continue };
            let exists = root().join(&file).exists();
            let has_anchor = anchor.as_ref().is_none_or(|anchor| {
                pages.get(&file).is_some_and(|page| page.anchors.contains(anchor))
            });
            if !exists || !has_anchor {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_of_docs_is_linked_from_the_readme() {
    let pages = pages();
    let readme = Path::new("README.md");
    let linked: BTreeSet<_> = pages[readme]
        .links
        .iter()
        .filter_map(|link| target(readme, link).map(|(file, _)| file))
        .collect();
    for path in pages.keys().filter(|path| path.starts_with("docs")) {
        assert!(linked.contains(path), "README.md does not link {}", path.display());
    }
}

#[test]
fn the_readme_is_at_most_150_lines() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md can be read");
    let lines = text.lines().count();
    assert!(lines <= MAX_README_LINES, "README.md has {lines} lines: move details to docs/");
}

#[test]
fn anchors_follow_the_rules_of_github() {
    for (heading, anchor) in [
        ("What is a copy?", "what-is-a-copy"),
        ("`keys` and `suspend`", "keys-and-suspend"),
        ("ConfigMaps: who, what & why", "configmaps-who-what--why"),
    ] {
        assert_eq!(slug(heading), anchor);
    }
    let page = parse("# A\n\n## `A`\n\n[x](#a-1)\n");
    assert_eq!(page.anchors, ["a", "a-1"].map(str::to_owned).into());
    assert_eq!(page.links, ["#a-1"]);
}
