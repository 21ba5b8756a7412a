//! Signing in at an identity provider that others wrote (oidc-provider, certified by the OpenID Foundation), by a browser's steps.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::access::{found, program, staff};
use crate::harness::{Daemon, Site, has};

/// A provider whose users are whoever types a name, and whose login and consent are forms.
const PROVIDER: &str = r#"
const http = require('http');
(async () => {
  const { default: Provider } = await import(process.env.MODULES + '/oidc-provider/lib/index.js');
  const server = http.createServer();
  server.listen(0, '127.0.0.1', () => {
    const port = server.address().port;
    const provider = new Provider('http://127.0.0.1:' + port, {
      clients: [{ client_id: 'wardd', client_secret: 'a secret & more', redirect_uris: ['http://wardd.test/login/provider/back'], response_types: ['code'], grant_types: ['authorization_code'] }],
      claims: { openid: ['sub'], profile: ['preferred_username'] },
      conformIdTokenClaims: false,
      findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
      pkce: { required: () => true },
      cookies: { keys: ['k'] },
    });
    server.on('request', provider.callback());
    console.log(port);
  });
})();
"#;

/// What a browser does: follows, fills in the forms, comes back; prints the last status, what the page says, and who the session is.
const BROWSER: &str = r#"
import http.cookiejar, re, sys, urllib.error, urllib.parse, urllib.request

wardd, name, wanted = sys.argv[1], sys.argv[2], sys.argv[3]

class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

browser = urllib.request.build_opener(Stay, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

def go(url, form=None):
    for _ in range(30):
        url = url.replace("http://wardd.test", wardd)
        if wanted == "stolen" and "/login/provider/back" in url:
            # Somebody else's browser, without the cookie of the one that began.
            answer = urllib.request.build_opener(Stay)
            try:
                answer = answer.open(url)
            except urllib.error.HTTPError as error:
                answer = error
            return url, answer.status, answer.read().decode()
        try:
            answer = browser.open(urllib.request.Request(url, data=form and urllib.parse.urlencode(form).encode()))
        except urllib.error.HTTPError as error:
            answer = error
        if answer.status not in (301, 302, 303, 307):
            return url, answer.status, answer.read().decode()
        url, form = urllib.parse.urljoin(url, answer.headers["location"]), None
    raise SystemExit("it leads nowhere")

url, status, page = go(wardd + "/login/provider")
for form in ({"prompt": "login", "login": name, "password": "x"}, {"prompt": "consent"}):
    action = re.search(r'action="([^"]+)"', page)
    if "/interaction/" not in url or not action:
        break
    url, status, page = go(urllib.parse.urljoin(url, action.group(1)), form)
try:
    session = browser.open(wardd + "/api/v1/session").read().decode()
except urllib.error.HTTPError as error:
    session = str(error.status)
print(status)
print(re.sub(r"<[^>]+>|\s+", " ", page).strip())
print(session)
"#;

struct Provider {
    child: Child,
    port: u16,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

impl Provider {
    fn start() -> Self {
        let modules = std::env::var("WARDD_PEERS").expect("run tests/run, which installs the provider") + "/node_modules";
        let modules = std::fs::canonicalize(modules).unwrap();
        let mut child = Command::new("node").args(["-e", PROVIDER]).env("MODULES", modules).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // It says other things on its standard output too.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.by_ref().find_map(|line| line.trim().parse().ok()).expect("the provider listens");
        // Node ends when nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }
}

/// Status, page and session after a browser has tried.
fn browse(daemon: &Daemon, name: &str, how: &str) -> (u16, String, String) {
    let wardd = format!("http://{}", daemon.endpoints["http"]);
    let output = Command::new(has("python3").unwrap()).args(["-c", BROWSER, &wardd, name, how]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines().map(str::to_owned);
    let mut next = || lines.next().unwrap_or_else(|| panic!("{said} {}", String::from_utf8_lossy(&output.stderr)));
    (next().parse().unwrap(), next(), next())
}

#[test]
fn whoever_the_provider_vouches_for_is_signed_in_when_there_is_such_a_user() {
    let provider = Provider::start();
    let site = Site::with(
        "",
        &format!(
            "[access]\n[access.provider]\nname = \"Hospital login\"\nissuer = \"http://127.0.0.1:{}\"\nclient_id = \"wardd\"\nclient_secret_file = \"secret\"\npublic_url = \"http://wardd.test\"\n",
            provider.port
        ),
    );
    std::fs::write(site.folder.join("secret"), "a secret & more\n").unwrap();
    let daemon = site.start();
    let (boss, _) = found(&site, &daemon);
    staff(&boss, "nina", &[("nurse", "ward:MED1")]);
    staff(&boss, "gone", &[("nurse", "ward:MED1")]);
    boss.done("/api/v1/users/gone/disable", serde_json::json!({ "reason": "left" }));
    assert!(daemon.raw("GET", "/login", None, "").2.contains("Sign in with Hospital login"));
    let (status, page, session) = browse(&daemon, "nina", "");
    assert_eq!(status, 200, "{page}");
    assert!(session.contains("\"user\":\"nina\"") && session.contains("patient.view"), "{session}");
    // Nobody is made by it, nobody comes back by it, and who needs a second factor was not asked for one there.
    for (name, expected) in [("ghost", "there is no such user here"), ("gone", "there is no such user here"), ("ada", "needs a second factor")] {
        let (status, page, session) = browse(&daemon, name, "");
        assert_eq!((status, session.as_str()), (403, "401"), "{name}: {page}");
        assert!(page.contains(expected), "{name}: {page}");
    }
    let (status, page, session) = browse(&daemon, "nina", "stolen");
    assert_eq!((status, session.as_str()), (403, "401"));
    assert!(page.contains("not begun in this browser"), "{page}");
    let auditor = program(&boss, "eyes", "auditor", serde_json::json!({}));
    let trail = auditor.get("/api/v1/audit?user=nina").to_string();
    assert!(trail.contains("SignedIn"), "{trail}");
    // Without the provider everybody still has badge and password.
    drop(provider);
    let (status, _, page) = daemon.raw("GET", "/login/provider", None, "");
    assert!(status == 303 || (status == 502 && page.contains("sign in by badge or password meanwhile")), "{status} {page}");
    daemon.terminate();
    let signed = site.events().iter().filter(|event| event.to_string().contains("\"provider\"")).count();
    assert_eq!(signed, 1, "who signed in by the provider stands in the log as such");
}
