//! The source against a fake of Vault, a file and a map of settings.

use std::collections::HashMap;

use omnihub_fakes::FakeVault;

use super::*;

const AT: &str = "vault://secret/acme/evolution#key";
const NOW: Option<Duration> = Some(Duration::ZERO);

fn source(pairs: &[(&str, &str)]) -> SecretSource {
    let settings: HashMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    SecretSource::load(Arc::new(settings)).unwrap()
}

fn of_vault(vault: &FakeVault) -> SecretSource {
    source(&[("VAULT_ADDR", vault.url()), ("VAULT_TOKEN", FakeVault::TOKEN), ("VAULT_NAMESPACE", "team")])
}

async fn value(source: &SecretSource, text: &str, max_age: Option<Duration>) -> Result<String, SourceError> {
    source.resolve(&Secret::read(text), max_age).await.map(|secret| secret.expose().to_owned())
}

#[tokio::test]
async fn the_environment_and_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "from a file\r\n").unwrap();
    let source = source(&[("NAME", "from the environment")]);
    assert_eq!(value(&source, "env:NAME", None).await.unwrap(), "from the environment");
    assert_eq!(value(&source, &format!("file:{}", path.display()), None).await.unwrap(), "from a file");
    assert_eq!(value(&source, "kept here", None).await.unwrap(), "kept here");
    for nowhere in ["env:OTHER", "file:/nowhere/at/all", "file:/dev/zero", AT] {
        let error = value(&source, nowhere, None).await.unwrap_err();
        assert!(!error.is_away() && error.to_string().contains(nowhere), "{error}");
    }
    for bad in ["", "two\nlines", "ü"] {
        fs::write(&path, bad).unwrap();
        assert!(value(&source, &format!("file:{}", path.display()), NOW).await.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn vault_is_asked_once_and_again_when_its_answer_is_old() {
    let vault = FakeVault::start().await.unwrap();
    vault.put("secret/acme/evolution", &[("key", "one")]);
    let source = of_vault(&vault);
    let all = futures_util::future::join_all((0..20).map(|_| value(&source, AT, None))).await;
    assert!(all.into_iter().all(|found| found.unwrap() == "one"));
    vault.put("secret/acme/evolution", &[("key", "two")]);
    assert_eq!(value(&source, AT, None).await.unwrap(), "one");
    assert_eq!(vault.reads().len(), 1, "one question for all");
    assert_eq!(value(&source, AT, NOW).await.unwrap(), "two");
    assert_eq!(vault.reads()[0].namespace.as_deref(), Some("team"));
    assert_eq!(vault.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn while_vault_is_away_what_is_known_is_good() {
    let vault = FakeVault::start().await.unwrap();
    vault.put("secret/acme/evolution", &[("key", "one"), ("other", "two")]);
    let settings: Arc<dyn Settings> = Arc::new(HashMap::from([
        ("VAULT_ADDR".to_owned(), vault.url().to_owned()),
        ("VAULT_TOKEN".to_owned(), FakeVault::TOKEN.to_owned()),
    ]));
    let of_vault = Vault::load(&*settings).unwrap();
    // What it is told is old at once.
    let source = SecretSource::new(settings, of_vault, Duration::ZERO, Duration::from_secs(60));
    assert_eq!(value(&source, AT, None).await.unwrap(), "one");
    vault.seal(true);
    assert_eq!(value(&source, AT, None).await.unwrap(), "one");
    // The moment is as long as the test: however slow the machine, it does not end in between.
    let rests = source.0.ask_again.lock().unwrap().replace(Instant::now() + Duration::from_secs(3600));
    assert!(rests.is_some(), "it is to be left alone");
    assert!(value(&source, AT, NOW).await.unwrap_err().is_away(), "whoever must be sure is told");
    let error = value(&source, "vault://secret/acme/evolution#other", None).await.unwrap_err();
    assert!(error.is_away(), "{error}");
    assert_eq!(vault.reads().len(), 2, "one that is away is left alone for a moment");
}

#[tokio::test]
async fn what_vault_refuses_is_not_known_any_more() {
    let vault = FakeVault::start().await.unwrap();
    vault.put("secret/acme/evolution", &[("key", "one")]);
    let source = of_vault(&vault);
    assert_eq!(value(&source, AT, None).await.unwrap(), "one");
    let refused = async |text: &str, words: &str| {
        let error = value(&source, text, NOW).await.unwrap_err();
        assert!(!error.is_away() && error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains(FakeVault::TOKEN));
    };
    refused("vault://secret/acme/evolution#nothing", "no such field").await;
    refused("vault://secret/acme/nothing#key", "404").await;
    refused("vault://nothing/acme/nothing#key", "404").await;
    vault.delete("secret/acme/evolution");
    refused(AT, "404").await;
    vault.put("secret/acme/evolution", &[("key", "three")]);
    assert_eq!(value(&source, AT, NOW).await.unwrap(), "three");
    vault.forbid("secret/acme/evolution");
    refused(AT, "403").await;
}

#[tokio::test]
async fn a_token_in_a_file_is_read_for_each_question() {
    let (vault, folder) = (FakeVault::start().await.unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("token");
    vault.put("secret/acme/evolution", &[("key", "one")]);
    let source = source(&[("VAULT_ADDR", vault.url()), ("VAULT_TOKEN_FILE", path.to_str().unwrap())]);
    assert!(value(&source, AT, None).await.unwrap_err().is_away(), "an agent may be late");
    for token in ["first", "second"] {
        vault.set_token(token);
        fs::write(&path, format!("{token}\n")).unwrap();
        // It was away a moment ago only for want of a token: that is not Vault's doing.
        *source.0.ask_again.lock().unwrap() = None;
        assert_eq!(value(&source, AT, NOW).await.unwrap(), "one");
    }
}

#[test]
fn settings_are_checked_without_showing_them() {
    let load = |pairs: &[(&str, &str)]| {
        let settings: HashMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SecretSource::load(Arc::new(settings)).map(drop).map_err(|error| error.to_string())
    };
    assert!(load(&[("VAULT_ADDR", "planted")]).unwrap_err().contains("VAULT_ADDR"));
    assert!(load(&[("VAULT_ADDR", "http://vault.test")]).unwrap_err().contains("VAULT_TOKEN"));
    assert!(load(&[("OMNIHUB_SECRET_TTL", "0")]).unwrap_err().contains("OMNIHUB_SECRET_TTL"));
    assert_eq!(load(&[]), Ok(()));
}

#[test]
fn a_tenant_may_refer_to_the_folder_that_is_its_own() {
    let below = source(&[("OMNIHUB_VAULT_TENANT_PATH", "/secret/tenants/{instance}/")]).for_tenant("acme");
    assert_eq!(below, MayRefer::Below("secret/tenants/acme".to_owned()));
    assert_eq!(source(&[("OMNIHUB_VAULT_TENANT_PATH", "secret/all")]).for_tenant("acme"), MayRefer::Nowhere);
    assert_eq!(source(&[]).for_tenant("acme"), MayRefer::Nowhere);
}
