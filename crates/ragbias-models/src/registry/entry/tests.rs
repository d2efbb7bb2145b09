use super::*;
use crate::Registry;

/// A registry of one model with every kind of source.
const RIGHT: &str = r#"
[[model]]
name = "m"
kind = "embedder"
about = ""
licence = ""
packages = [
  { requirement = "p==1", bytes = 9, sha256 = "SUM" },
]

  [[model.archives]]
  name = "a.zip"
  bytes = 7
  sha256 = "SUM"
  parts = ["p/a.zip.001", "p/a.zip.002"]

  [[model.files]]
  path = "config.json"
  bytes = 2
  sha256 = "SUM"
  archive = "a.zip"
  member = "a/config.json"

  [[model.files]]
  path = "1_Pooling/config.json"
  bytes = 3
  sha256 = "SUM"
  parts = ["p/config"]
"#;

fn read(text: &str) -> Result<Registry, String> {
    toml::from_str(&text.replace("SUM", &"0123456789abcdef".repeat(4))).map_err(|error| error.to_string())
}

#[test]
fn a_file_is_its_parts_or_a_member_of_an_archive_in_parts() {
    let registry = read(RIGHT).unwrap();
    let model = &registry.models()[0];
    assert_eq!(model.archives[0].parts, ["p/a.zip.001", "p/a.zip.002"]);
    assert!(matches!(&model.files[0].packed, Some(Packed::Member { archive, member })
            if archive == "a.zip" && member == "a/config.json"));
    assert!(matches!(&model.files[1].packed, Some(Packed::Parts(parts)) if parts == &["p/config"]));
    assert_eq!((model.bytes(), model.wheel_bytes()), (5, 9));
}

#[test]
fn an_entry_that_breaks_a_rule_is_refused_with_its_place() {
    let config = "archive = \"a.zip\"\n  member = \"a/config.json\"";
    let pooling = "parts = [\"p/config\"]";
    for (from, to, expected) in [
        // Keys.
        ("member =", "memeber =", "unknown field `memeber`"),
        ("parts = [\"p/a", "part = [\"p/a", "unknown field `part`"),
        ("about =", "abuot =", "unknown field `abuot`"),
        ("[[model]]", "[[modle]]\n[[model]]", "unknown field `modle`"),
        // Sources.
        (config, "archive = \"a.zip\"", "file `config.json`: expected either `parts`"),
        (config, "member = \"a/config.json\"", "file `config.json`: expected either `parts`"),
        (pooling, &format!("{config}\n{pooling}"), "file `1_Pooling/config.json`: expected either `parts`"),
        (pooling, "parts = []", "file `1_Pooling/config.json`: expected either `parts`, not empty"),
        (pooling, "", "file `1_Pooling/config.json`: expected `parts`, or `archive` and `member`"),
        // Archives.
        (
            "archive = \"a.zip\"",
            "archive = \"b.zip\"",
            "file `config.json`: expected an archive of the model, received `b.zip`",
        ),
        (config, pooling, "archive `a.zip`: no file is a member of it"),
        (pooling, config, "file `1_Pooling/config.json`: `a/config.json` of `a.zip` is another file already"),
        ("[\"p/a.zip.001\", \"p/a.zip.002\"]", "[]", "archive `a.zip`: expected at least one part"),
        ("bytes = 7", "bytes = 0", "archive `a.zip`: expected `bytes` of at least 1"),
        // Sizes and hashes.
        ("bytes = 9", "bytes = 0", "package `p==1`: expected `bytes` of at least 1"),
        ("bytes = 2", "bytes = 0", "file `config.json`: expected `bytes` of at least 1"),
        ("bytes = 3", "bytes = -3", "invalid value: integer `-3`"),
        (
            "bytes = 2\n  sha256 = \"SUM\"",
            "bytes = 2\n  sha256 = \"SUM0\"",
            "file `config.json`: expected a `sha256`",
        ),
        (
            "bytes = 7\n  sha256 = \"SUM\"",
            "bytes = 7\n  sha256 = \"\"",
            "archive `a.zip`: expected a `sha256`",
        ),
        (
            "bytes = 9, sha256 = \"SUM\"",
            "bytes = 9, sha256 = \"ABCD\"",
            "package `p==1`: expected a `sha256`",
        ),
        // Names.
        ("path = \"1_Pooling/config.json\"", "path = \"config.json\"", "file `config.json`: received twice"),
        ("requirement = \"p==1\"", "requirement = \"p>=1\"", "package `p>=1`: expected a name"),
        ("requirement = \"p==1\"", "requirement = \"p\"", "package `p`: expected `name==version`"),
        ("requirement = \"p==1\"", "requirement = \"../p==1\"", "package `../p==1`: expected a name"),
    ] {
        assert!(RIGHT.contains(from), "{from}");
        let error = read(&RIGHT.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    let error = read(&format!("{RIGHT}{RIGHT}")).unwrap_err();
    assert!(error.contains("model `m`: name `m`: received twice"), "{error}");
}

#[test]
fn a_path_that_could_leave_the_folder_is_refused() {
    for path in [
        "",
        "..",
        "../x",
        "a/../../x",
        "/x",
        "a//x",
        "a/",
        "./x",
        "C:x",
        "C:\\\\x",
        "a\\\\x",
        ".wheels/x",
        ".hub",
        "x.",
        "x\\u0000",
    ] {
        let error =
            read(&RIGHT.replacen("path = \"config.json\"", &format!("path = \"{path}\""), 1)).unwrap_err();
        assert!(error.contains("expected names between `/`"), "{path}: {error}");
    }
    for name in ["..", "a/b", ".m", ""] {
        let error = read(&RIGHT.replacen("name = \"m\"", &format!("name = \"{name}\""), 1)).unwrap_err();
        assert!(error.contains(": name: expected a name"), "{name}: {error}");
    }
}

#[test]
fn a_model_without_packages_needs_a_hub_and_no_source_of_files() {
    let packages = "packages = [\n  { requirement = \"p==1\", bytes = 9, sha256 = \"SUM\" },\n]";
    let error = read(&RIGHT.replacen(packages, "", 1)).unwrap_err();
    assert!(error.contains("model `m`: expected `hub`, `packages` or both, received neither"), "{error}");
    let error = read(&RIGHT.replacen(packages, "hub = \"o/n\"", 1)).unwrap_err();
    assert!(
        error.contains("file `config.json`: its source is a package, but the model has no `packages`"),
        "{error}"
    );
    let archives =
        &RIGHT[RIGHT.find("  [[model.archives]]").unwrap()..RIGHT.find("  [[model.files]]").unwrap()];
    let hub = RIGHT.replacen(packages, "hub = \"o/n\"", 1).replacen("parts = [\"p/config\"]", "", 1);
    let hub = hub.replacen("archive = \"a.zip\"\n  member = \"a/config.json\"", "", 1);
    assert!(read(&hub).unwrap_err().contains("archive `a.zip`: no file is a member of it"));
    let registry = read(&hub.replacen(archives, "", 1)).unwrap();
    assert!(registry.models()[0].files.iter().all(|file| file.packed.is_none()));
}
