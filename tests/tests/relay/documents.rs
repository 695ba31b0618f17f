//! The documents match each other and the template.

use std::collections::BTreeSet;
use std::path::Path;

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Splits a document into code blocks and prose.
fn code_and_prose(document: &str) -> (Vec<String>, Vec<String>) {
    let parts = document.split("```").map(str::to_owned).enumerate();
    let (code, prose): (Vec<_>, Vec<_>) = parts.partition(|(index, _)| index % 2 == 1);
    let texts = |parts: Vec<(usize, String)>| parts.into_iter().map(|(_, text)| text).collect();
    (texts(code), texts(prose))
}

fn headings(prose: &[String]) -> Vec<(usize, String)> {
    let lines = prose.iter().flat_map(|part| part.lines());
    let heading = |line: &str| {
        let level = line.chars().take_while(|c| *c == '#').count();
        (level > 0).then(|| (level, line[level..].trim().to_owned()))
    };
    lines.filter_map(heading).collect()
}

#[test]
fn readmes_have_the_same_headings_and_code() {
    let (english, chinese) = (text("README.md"), text("README.zh-CN.md"));
    let ((code, prose), (code_zh, prose_zh)) = (code_and_prose(&english), code_and_prose(&chinese));
    let levels = |prose: &[String]| headings(prose).into_iter().map(|(level, _)| level).collect::<Vec<_>>();
    assert_eq!(levels(&prose), levels(&prose_zh), "the headings differ");
    for (index, (english, chinese)) in code.iter().zip(&code_zh).enumerate() {
        assert_eq!(english, chinese, "code block {index} differs");
    }
    assert_eq!(code.len(), code_zh.len());
    for (_, heading) in headings(&prose_zh).iter().skip(1) {
        assert!(!heading.is_ascii(), "{heading} is not translated");
    }
}

#[test]
fn every_template_parameter_is_in_both_readmes() {
    let template = text("template.yaml");
    let parameters = template.split("\nParameters:\n").nth(1).unwrap().split("\nConditions:\n").next().unwrap();
    let names: Vec<_> = parameters
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert!(names.len() > 20);
    for readme in ["README.md", "README.zh-CN.md"] {
        let readme = text(readme);
        for name in &names {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn operations_guide_has_a_section_for_exactly_the_alarms() {
    let template = text("template.yaml");
    let alarms = template.split("AlarmDescription: ").skip(1).filter_map(|alarm| {
        let description = alarm.lines().next()?.trim_matches(|c| c == '"' || c == ',');
        Some(description.split_once("docs/operations.md#").expect("the description names its section").1)
    });
    let guide = text("docs/operations.md");
    let part = guide.split("\n## Alarms\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let told: BTreeSet<_> = part.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(alarms.collect::<BTreeSet<_>>(), told);
}

#[test]
fn files_that_documents_link_to_exist() {
    for document in [
        "README.md",
        "README.zh-CN.md",
        "CONTRIBUTING.md",
        "docs/adding.md",
        "docs/operations.md",
        "docs/partners.md",
        "docs/guarantees.md",
    ] {
        let (_, prose) = code_and_prose(&text(document));
        let folder = Path::new(document).parent().unwrap();
        for link in prose.iter().flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(file);
                assert!(path.exists(), "{document} links to {link}");
            }
        }
    }
}
