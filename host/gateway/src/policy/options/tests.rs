use super::*;

#[test]
fn every_key_is_read() {
    let options = Options::read(
        "on_fault = 'refuse'\ngrants = ['log', 'memory']\ndeadline_ms = 20\nmemory_mib = 32\n\
         isolation = 'reused'\nquestions = 7\nanswer_kib = 8\nlog_lines = 0\n\
         [settings]\nword = 'a'\ncount = 3\nflag = true\nlist = ['x', 'y']\nhalf = 0.5\n\
         [shadow]\ncalls = 100\nseconds = 60\nallow = '2 %'\n[settings.inner]\nkey = 'b'\n[[settings.rule]]\nnumber = '1%'\n[[settings.rule]]\nnumber = '2%'\n",
    )
    .unwrap();
    assert_eq!(options.on_fault, OnFault::Refuse);
    assert_eq!(options.grants, ["log", "memory"]);
    assert_eq!(options.deadline, Some(Duration::from_millis(20)));
    assert_eq!(options.memory_bytes, Some(32 << 20));
    assert_eq!(options.isolation, Some(Isolation::Reused));
    assert_eq!((options.questions, options.answer_bytes, options.log_lines), (7, 8 << 10, 0));
    assert_eq!(options.shadow, Some(Shadow { calls: Some(100), time: Some(Duration::from_secs(60)), allow: Allow::Percent(2) }));
    let mut settings: Vec<_> = options.settings.iter().map(|(key, value)| format!("{key} {value:?}")).collect();
    settings.sort();
    assert_eq!(
        settings,
        [
            "count Number(3)",
            "flag Flag(true)",
            "half Text(\"0.5\")",
            "inner.key Text(\"b\")",
            "list Texts([\"x\", \"y\"])",
            "rule.0.number Text(\"1%\")",
            "rule.1.number Text(\"2%\")",
            "word Text(\"a\")",
        ]
    );
}

#[test]
fn an_empty_file_says_nothing() {
    assert_eq!(Options::read("").unwrap(), Options::default());
    assert!(!Options::default().grants.contains(&"memory".to_owned()), "memory is granted by name only");
}

#[test]
fn each_mistake_is_told_with_its_remedy() {
    let told = |text: &str| Options::read(text).unwrap_err();
    assert_eq!(told("on_fualt = 'next'"), "`on_fualt` is not a key of this file; the nearest is `on_fault`");
    assert_eq!(told("on_fault = 'shrug'"), "`on_fault` should be \"next\" or \"refuse\"");
    assert_eq!(told("grants = ['memry']"), "`memry` in `grants` is not an interface that can be granted; the nearest is `memory`");
    assert_eq!(told("deadline_ms = 0"), "`deadline_ms` should be an integer from 1 to 1000");
    assert_eq!(told("memory_mib = 1024"), "`memory_mib` should be an integer from 1 to 256");
    assert_eq!(told("isolation = 'none'"), "`isolation` should be \"fresh\" or \"reused\"");
    assert_eq!(told("questions = 0"), "`questions` should be an integer from 1 to 1000000");
    assert_eq!(told("answer_kib = -1"), "`answer_kib` should be an integer from 1 to 16384");
    assert_eq!(told("log_lines = 10001"), "`log_lines` should be an integer from 0 to 10000");
    assert_eq!(told("settings = 1"), "`settings` should be a table: [settings]");
    assert_eq!(told("shadow = 100"), "`shadow` should be a table: [shadow]");
    assert_eq!(told("[shadow]\nallow = 1"), "[shadow] should say how long: `calls`, `seconds` or both");
    assert_eq!(told("[shadow]\ncals = 1"), "`cals` is not a key of [shadow]; the nearest is `calls`");
    assert_eq!(told("[shadow]\ncalls = 0"), "`shadow.calls` should be an integer from 1 to 1000000");
    assert_eq!(told("[shadow]\nseconds = 604801"), "`shadow.seconds` should be an integer from 1 to 604800");
    assert_eq!(told("[shadow]\nallow = -1"), "`shadow.allow` should be an integer from 0 to 1000000, or a share like \"2 %\"");
    assert_eq!(told("[shadow]\nallow = 'few'"), "`shadow.allow` should be an integer from 0 to 1000000, or a share like \"2 %\"");
    assert_eq!(told("[shadow]\nallow = '101 %'"), "`shadow.allow` should be at most \"100 %\", in whole percent");
    assert!(told("on_fault = ").contains("line 1"), "{}", told("on_fault = "));
}
