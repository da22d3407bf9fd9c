use super::*;

fn parsed(project: &str, file: &str) -> Result<Distribution, NameError> {
    distribution(&package(project).expect(project), &FileName::new(file)?)
}

fn rule(project: &str, file: &str) -> &'static str {
    match parsed(project, file) {
        Err(NameError::Grammar { rule, .. }) => rule,
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn project_names_have_one_normal_form() {
    for (text, normal) in [
        ("requests", "requests"),
        ("Foo.Bar__baz-.-qux", "foo-bar-baz-qux"),
        ("a", "a"),
        ("zope.interface", "zope-interface"),
        ("2to3", "2to3"),
    ] {
        let name = package(text).expect(text);
        assert_eq!(name.as_str(), normal);
        assert_eq!(package(name.as_str()), Ok(name.clone()), "the normal form is its own normal form");
    }
    for bad in ["-a", "a-", "_a", "a.", "a+b", "a~b", "a!b", "@a"] {
        assert!(matches!(package(bad), Err(NameError::Grammar { what: "package name", .. })), "{bad}");
    }
    for bad in ["a/b", "a/../b"] {
        assert!(package(bad).is_err(), "{bad}");
    }
    for bad in ["\u{17f}et", "\u{212a}", "a\u{202e}b", "a\u{200b}", "a\0", "a b", "a\r\n", "a;rm", "a%62"] {
        assert!(matches!(package(bad), Err(NameError::Character { .. })), "{bad}");
    }
    assert!(matches!(package(&"x".repeat(300)), Err(NameError::TooLong { .. })));
}

#[test]
fn versions_have_one_normal_form() {
    for (text, normal) in [
        ("1.0", "1.0"),
        ("1.0.0", "1.0.0"),
        ("v1.0", "1.0"),
        ("1.0RC1", "1.0rc1"),
        ("1.0-1", "1.0.post1"),
        ("1.0_post2", "1.0.post2"),
        ("1.0.dev", "1.0.dev0"),
        ("1!2.0+Ubuntu-1", "1!2.0+ubuntu.1"),
        ("1.0alpha_2", "1.0a2"),
        ("01.02", "1.2"),
    ] {
        assert_eq!(version(text).expect(text).as_str(), normal);
        assert_eq!(version(normal).expect(normal).as_str(), normal);
    }
    for bad in
        ["", "1.0;rm", "--upload-pack=x", "latest", "1.0.*", "1.0/2", "99999999999999999999999", "1.0-foo"]
    {
        assert!(version(bad).is_err(), "{bad}");
    }
}

#[test]
fn wheels_have_five_or_six_parts_of_this_project() {
    for (project, file, version) in [
        ("requests", "requests-2.32.0-py3-none-any.whl", "2.32.0"),
        ("foo-bar", "Foo.Bar-1.0RC1-1a-cp312.cp313-abi3-manylinux_2_17_x86_64.whl", "1.0rc1"),
        ("torch", "torch-2.0.0+cu118-cp311-cp311-linux_x86_64.whl", "2.0.0+cu118"),
        ("x", "x-1!2.0-py3-none-any.whl", "1!2.0"),
    ] {
        let found = parsed(project, file).expect(file);
        assert_eq!((found.kind, found.version.as_str()), (Kind::Wheel, version));
    }
    let parts = "a wheel's name has five parts, or six with a build tag";
    assert_eq!(rule("x", "x-1.0-py3-none.whl"), parts);
    assert_eq!(rule("x", "x-1.0-1-py3-none-any-more.whl"), parts);
    assert_eq!(rule("x", "x.whl"), parts);
    assert_eq!(rule("x", "x-1.0-b1-py3-none-any.whl"), "a wheel's build tag starts with a digit");
    assert_eq!(rule("x", "x-1.0--py3-none-any.whl"), "a wheel's build tag starts with a digit");
    assert_eq!(rule("x", "x-1.0-py3--any.whl"), "wheel tags are letters, digits, `_` and `.`");
    assert_eq!(rule("x", "x-1.0-py3-none-a+b.whl"), "wheel tags are letters, digits, `_` and `.`");
    assert_eq!(rule("x", "y-1.0-py3-none-any.whl"), "it starts with the project's name and a version");
    assert_eq!(rule("x", "x-one-py3-none-any.whl"), "a PEP 440 version such as 1.2.3");
}

#[test]
fn sdists_are_split_where_the_projects_name_ends() {
    for (project, file, kind, version) in [
        ("foo", "foo-1.0.tar.gz", Kind::TarGz, "1.0"),
        ("foo-bar", "foo-bar-1.0.tar.gz", Kind::TarGz, "1.0"),
        ("foo-bar", "Foo__Bar-1.0.zip", Kind::Zip, "1.0"),
        ("foo-2", "foo-2-1.0.tar.gz", Kind::TarGz, "1.0"),
        ("foo", "foo-2-1.tar.gz", Kind::TarGz, "2.post1"),
        ("a-b", "a--b-1.tar.gz", Kind::TarGz, "1"),
    ] {
        let found = parsed(project, file).expect(file);
        assert_eq!((found.kind, found.version.as_str()), (kind, version), "{file}");
    }
    let foreign = "it starts with the project's name and a version";
    assert_eq!(rule("foo", "foo-bar-1.0.tar.gz"), "a PEP 440 version such as 1.2.3");
    assert_eq!(rule("foo-bar", "foo-1.0.tar.gz"), foreign);
    assert_eq!(rule("foo", "foo.tar.gz"), foreign);
    assert_eq!(rule("foo", "foo_-1.0.tar.gz"), foreign);
}

#[test]
fn other_kinds_and_tricks_are_no_distributions() {
    for file in [
        "x-1.0.egg",
        "x-1.0.exe",
        "x-1.0.tar.bz2",
        "x-1.0.tar.gz.asc",
        "x-1.0.tgz",
        "x-1.0.WHL",
        "x-1.0.tar.gz.metadata",
    ] {
        assert_eq!(rule("x", file), "a wheel (.whl) or an sdist (.tar.gz or .zip)");
    }
    for file in [
        "../x-1.0.tar.gz",
        "x-1.0\\.tar.gz",
        "x-1.0\0.tar.gz",
        "x-1.0\u{ff0e}tar.gz",
        "x-1.0%2f.tar.gz",
        "x-1.0\n.tar.gz",
    ] {
        assert!(parsed("x", file).is_err(), "{file:?}");
    }
}

#[test]
fn a_sidecar_has_the_version_of_its_distribution() {
    let x = package("x").expect("plain");
    let of = |file: &str| file_version(&x, &FileName::new(file).expect(file)).map(String::from);
    assert_eq!(of("x-1.0-py3-none-any.whl.metadata"), Ok("1.0".to_owned()));
    assert_eq!(of("x-1.0.tar.gz"), Ok("1.0".to_owned()));
    assert!(of("x-1.0-py3-none-any.whl.metadata.metadata").is_err());
    assert!(of("x-1.0.egg.metadata").is_err());
    let name = |text: &str| FileName::new(text).expect(text);
    let (sdist, beside) = (name("x-1.0.tar.gz"), name("x-1.0.tar.gz.metadata"));
    assert_eq!((sidecar_of(&sdist), distribution_of(&sdist)), (Some(beside.clone()), None));
    assert_eq!((sidecar_of(&beside), distribution_of(&beside)), (None, Some(sdist)));
    assert_eq!(sidecar_of(&name(&"x".repeat(255))), None);
}
