//! The program: safe without options, and what it takes to be reached by others.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use super::{Authority, Secrets};

fn nbo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nbo"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Serves at an address that no machine of a test has, so that nothing is ever open to others.
fn serve_to_others(arguments: &[&str]) -> Output {
    let mut command = nbo(&["serve", "--customers", "1", "--durability", "none"]);
    let with_address = if arguments.contains(&"--admin") {
        &[][..]
    } else {
        &["--listen", "192.0.2.1:0"]
    };
    command.args(with_address).args(arguments).output().unwrap()
}

#[test]
fn an_address_that_others_reach_is_refused_without_tls_and_known_callers_and_says_what_is_missing() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let (certificate, key) = (secrets.write("cert.pem", &certificate), secrets.write("key.pem", &key));
    let [_] = secrets.tokens(["offers"]);
    let tokens = secrets.path("tokens");
    let tls = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let tokens = ["--tokens", tokens.to_str().unwrap()];
    let both = "TLS (--tls-cert, --tls-key) and callers who are known (--tokens or --jwks)";
    for (arguments, missing) in [
        (vec![], both),
        (vec!["--admin", "192.0.2.1:0", "--listen", "127.0.0.1:0"], both),
        (tls.to_vec(), "it needs callers who are known (--tokens or --jwks);"),
        (tokens.to_vec(), "it needs TLS (--tls-cert, --tls-key);"),
    ] {
        let ended = serve_to_others(&arguments);
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("192.0.2.1:0") && said.contains(missing), "{said}");
        assert!(said.contains("--insecure-public"), "{said}");
    }
    let elsewhere = ["--admin", "127.0.0.1:0", "--listen", "192.0.2.1:0"];
    // With both, or when it is asked for in plain words, it goes on until the address turns out to be nobody's.
    let safe = serve_to_others(&[&tls[..], &tokens[..], &elsewhere[..]].concat());
    assert!(
        text(&safe.stderr).contains("cannot listen on 192.0.2.1:0"),
        "{}",
        text(&safe.stderr)
    );
    assert!(!text(&safe.stdout).contains("WARNING"), "{}", text(&safe.stdout));
    let insecure = serve_to_others(&[&["--insecure-public"], &elsewhere[..]].concat());
    assert!(text(&insecure.stderr).contains("cannot listen on 192.0.2.1:0"));
    let said = text(&insecure.stdout);
    assert!(said.contains("WARNING") && said.contains(both), "{said}");
}

/// A server with TLS, tokens and a port for administration, each on loopback.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = nbo(&[
            "serve",
            "--customers",
            "5",
            "--durability",
            "none",
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to the line of a step, and returns the address in it.
    fn address(&mut self, step: &str) -> String {
        let line = self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(step));
        let line = line.unwrap_or_else(|| panic!("{step} never came"));
        line.split_whitespace().nth(1).unwrap().trim_end_matches(',').to_owned()
    }
}

#[test]
fn a_token_that_the_program_makes_opens_its_doors_over_tls_as_far_as_its_roles_go() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let (certificate, key) = (secrets.write("cert.pem", &certificate), secrets.write("key.pem", &key));
    let authority = secrets.write("ca.pem", &authority.pem());
    let tokens = secrets.path("tokens");
    let new = |name: &str, roles: &str| {
        let made = nbo(&[
            "token",
            "new",
            "--name",
            name,
            "--roles",
            roles,
            "--line-to",
            tokens.to_str().unwrap(),
        ]);
        let made = { made }.output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    };
    let (desk, website) = (new("desk", "erase"), new("website", "offers,events"));
    let file = std::fs::read_to_string(&tokens).unwrap();
    assert!(
        file.starts_with("desk erase sha256:") && file.lines().count() == 2,
        "{file}"
    );
    assert!(!file.contains(&desk) && !file.contains(&website), "{file}");

    let mut program = Program::start(&[
        "--admin",
        "127.0.0.1:0",
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--tokens",
        tokens.to_str().unwrap(),
    ]);
    let admin = program.address("  admin ");
    let public = program.address("listening");
    let export = |to: &str, token: Option<&str>| {
        let mut command = nbo(&["export", "customer", "--customer", "demo-000001", "--to", to]);
        command.args(["--ca", authority.to_str().unwrap(), "--server-name", "localhost"]);
        token.map(|token| command.env("NBO_TOKEN", token));
        command.output().unwrap()
    };
    let exported = export(&admin, Some(&desk));
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    assert!(text(&exported.stdout).contains("demo-000001"));
    for (to, token, expected) in [
        (&admin, None, "no token; send `authorization: Bearer`"),
        (&admin, Some("nbo_guessed"), "the token is not valid here"),
        (&admin, Some(website.as_str()), "this takes the role erase"),
        (
            &public,
            Some(desk.as_str()),
            "this is administration, which is served on a port of its own",
        ),
    ] {
        let refused = export(to, token);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && !said.contains("nbo_"), "{said}");
    }
}
