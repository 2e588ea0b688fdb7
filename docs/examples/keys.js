// A page that comes in with a key of its own. The browser keeps the private key and never gives it
// away, to this page neither; the page can only have it sign (Web Cryptography, `extractable` off).

const KINDS = {
  "Ed25519": {algorithm: {name: "Ed25519"}, signing: {name: "Ed25519"}, jws: "EdDSA"},
  "P-256": {
    algorithm: {name: "ECDSA", namedCurve: "P-256"},
    signing: {name: "ECDSA", hash: "SHA-256"},
    jws: "ES256",
  },
};

const bytes = (text) => new TextEncoder().encode(text);
const base64 = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
const base64url = (data) =>
  base64(data).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const part = (value) => base64url(bytes(JSON.stringify(value)));
const sha256 = (data) => crypto.subtle.digest("SHA-256", data);

// A key, and what it is called. `makeKey` makes one; `keptKey` finds this origin's, or makes it.

export async function makeKey(kind = "P-256") {
  const {algorithm} = KINDS[kind];
  const pair = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
  return {kind, pair};
}

export async function keptKey(kind = "P-256") {
  const store = await openStore();
  const kept = await done(store("readonly").get(kind));
  if (kept) return kept;
  const key = await makeKey(kind);
  await done(store("readwrite").put(key, kind));
  return key;
}

async function openStore() {
  const opening = indexedDB.open("mcp-keys", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  const database = await done(opening);
  return (mode) => database.transaction("keys", mode).objectStore("keys");
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// The public key as OpenSSH writes it: each part after its length in four bytes.
async function blob({kind, pair}) {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const parts = kind === "Ed25519"
    ? [bytes("ssh-ed25519"), raw]
    : [bytes("ecdsa-sha2-nistp256"), bytes("nistp256"), raw];
  return new Uint8Array(parts.flatMap((each) => [0, 0, 0, each.length, ...each]));
}

// The line for `mcptwist authorize add`.
export async function publicLine(key, comment = location.host) {
  const type = key.kind === "Ed25519" ? "ssh-ed25519" : "ecdsa-sha2-nistp256";
  return `${type} ${base64(await blob(key))} ${comment}`;
}

export async function fingerprint(key) {
  return `SHA256:${base64(await sha256(await blob(key))).replaceAll("=", "")}`;
}

async function signed({kind, pair}, header, claims) {
  const {jws, signing} = KINDS[kind];
  const text = `${part({alg: jws, ...header})}.${part(claims)}`;
  const signature = await crypto.subtle.sign(signing, pair.privateKey, bytes(text));
  return `${text}.${base64url(signature)}`;
}

// Asks a daemon at *url* with that key. `fetch` is as the browser's, for that URL.
export class KeyedServer {
  constructor(url, key, scope = "") {
    this.url = url;
    this.key = key;
    this.scope = scope;
    this.token = null;
    this.nonce = null;
  }

  async fetch(options = {}) {
    this.token ??= await this.askToken();
    let answer = await this.#ask(options);
    if (answer.status === 401) {
      // The token has ended, or the daemon wants another nonce in its proofs.
      const challenge = answer.headers.get("WWW-Authenticate") ?? "";
      if (!challenge.includes("use_dpop_nonce")) this.token = await this.askToken();
      answer = await this.#ask(options);
    }
    return answer;
  }

  async #ask({method = "POST", headers = {}, ...more}) {
    const proof = await this.#proof(method, this.url, this.token);
    const authorization = {"Authorization": `DPoP ${this.token}`, "DPoP": proof};
    const answer = await fetch(this.url, {method, headers: {...headers, ...authorization}, ...more});
    this.nonce = answer.headers.get("DPoP-Nonce") ?? this.nonce;
    return answer;
  }

  // Where tokens are given is in the server's metadata, and never on another origin than its own.
  async askToken() {
    const {origin, pathname} = new URL(this.url);
    const resource = await described(`${origin}/.well-known/oauth-protected-resource${pathname}`);
    const [issuer] = resource.authorization_servers;
    if (resource.resource !== this.url || issuer !== origin) {
      throw new Error("the metadata is of another server");
    }
    const server = await described(`${origin}/.well-known/oauth-authorization-server`);
    const endpoint = server.token_endpoint;
    if (server.issuer !== issuer || new URL(endpoint).origin !== origin) {
      throw new Error("the authorization server is another");
    }
    let answer = await this.#tokenRequest(issuer, endpoint);
    let granted = await answer.json();
    if (granted.error === "use_dpop_nonce") {
      answer = await this.#tokenRequest(issuer, endpoint);
      granted = await answer.json();
    }
    if (!answer.ok) throw new Error(`${answer.status}: ${granted.error}`);
    return granted.access_token;
  }

  async #tokenRequest(issuer, endpoint) {
    const me = await fingerprint(this.key);
    const iat = Math.floor(Date.now() / 1000);
    const assertion = await signed(this.key, {typ: "JWT"}, {
      iss: me, sub: me, aud: issuer, iat, exp: iat + 60, jti: crypto.randomUUID(),
    });
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion,
      resource: this.url,
    });
    if (this.scope) form.set("scope", this.scope);
    const headers = {"DPoP": await this.#proof("POST", endpoint)};
    const answer = await fetch(endpoint, {method: "POST", headers, body: form});
    this.nonce = answer.headers.get("DPoP-Nonce") ?? this.nonce;
    return answer;
  }

  // RFC 9449: with each request, that we hold the key that the token is bound to.
  async #proof(htm, url, token) {
    const {kty, crv, x, y} = await crypto.subtle.exportKey("jwk", this.key.pair.publicKey);
    const claims = {
      htm, htu: url.split(/[?#]/)[0], jti: crypto.randomUUID(), iat: Math.floor(Date.now() / 1000),
    };
    if (this.nonce) claims.nonce = this.nonce;
    if (token) claims.ath = base64url(await sha256(bytes(token)));
    return signed(this.key, {typ: "dpop+jwt", jwk: {kty, crv, x, y}}, claims);
  }
}

async function described(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${answer.status}: ${url}`);
  return answer.json();
}
