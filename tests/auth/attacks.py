"""Attacks, and the tests that make them: who looks for a gap finds it here.

The letters are those of the catalogue of attacks that the gatehouse was built against. Each test
asserts the exact status, that the audit log tells of it, that no server saw anything, and that no
secret is in any output; what cannot happen here says why.
"""

from __future__ import annotations

from collections.abc import Mapping

_GATE = "tests.auth.test_tokens_at_the_gate"
_PAGES = "tests.auth.test_browsers_at_the_gate"
_OWN = "tests.auth.test_belonging"
_WIRES = "tests.auth.test_every_wire"
_DESK = "tests.auth.oauth.test_approvaldesk"
_LOGIN = "tests.auth.oauth.test_browserdesk"
_SIGNED = "tests.auth.test_signed_requests"
_LIVE = "tests.live.test_keys"
_SHOWN = "tests.live.test_exposure"
_BROWSER = "tests.live.test_browser"
_CLIENTS = "tests.interop.test_auth"

#: What is attacked, and the tests that do it: modules, classes or methods.
MADE: Mapping[str, tuple[str, ...]] = {
    # Exposure
    "A1 only loopback is listened to": (f"{_SHOWN}.SocketTests",),
    "A2 open to a network without keys": (
        "tests.wiring.test_admission",
        f"{_LIVE}.RefusalTests.test_open_without_keys",
        f"{_LIVE}.RefusalTests.test_no_keys",
    ),
    "A3 every route and method without credentials": (f"{_GATE}.NobodyTests",),
    "A4 key files that others can write": (
        f"{_LIVE}.RefusalTests.test_keys_that_others_can_write",
        "tests.auth.test_keyfiles",
        "tests.auth.commands.test_commands",
    ),
    "A5 headers of proxies": (
        f"{_GATE}.NobodyTests.test_forwarded",
        f"{_PAGES}.HeaderTests.test_forwarded",
    ),
    "A6 secrets in the process table": (
        f"{_LIVE}.LoopbackTests.test_no_secret_in_the_process_table",
        f"{_SHOWN}.ProcessTests.test_commands",
    ),
    # Hosts, origins, browsers
    "B1 foreign hosts": (f"{_PAGES}.NameTests", "tests.protocols.test_site.HostTests"),
    "B2 rebinding": (
        f"{_PAGES}.NameTests.test_rebinding",
        f"{_BROWSER}.RefusedTests.test_rebinding",
        "tests.interop.test_conformance.ConformanceTests",
    ),
    "B3 foreign origins": (
        f"{_PAGES}.OriginTests",
        "tests.protocols.test_site.OriginTests",
        f"{_BROWSER}.RefusedTests",
    ),
    "B4 native clients have no origin": (f"{_PAGES}.OriginTests.test_native_clients",),
    "B5 other types of bodies": (
        f"{_PAGES}.BodyTests.test_types",
        f"{_OWN}.LegacyStreamTests.test_types",
        f"{_BROWSER}.RefusedTests.test_blind",
    ),
    "B6 preflights": (f"{_PAGES}.PreflightTests", "tests.protocols.test_cors.PreflightTests"),
    "B7 errors can be read by allowed pages": (
        f"{_PAGES}.ReadableTests.test_allowed",
        f"{_BROWSER}.AllowedTests.test_errors",
    ),
    "B8 pages with keys": ("tests.live.test_browser_keys",),
    "B9 pages of the wide internet": (f"{_BROWSER}.PublicTests",),
    "B10 answers kept for another page": (
        f"{_PAGES}.ReadableTests",
        "tests.protocols.test_cors.AnswerTests.test_each_its_own",
    ),
    "B11 tickets of another page": (
        "tests.auth.test_tickets.AttackTests.test_another_page",
        "tests.auth.test_tickets.AttackTests.test_foreign_page",
        "tests.auth.test_tickets.AttackTests.test_foreign_host",
        "tests.live.test_tickets",
    ),
    "B12 pages in frames": (f"{_LOGIN}.PageTests", "tests.live.test_browser_login"),
    # Tokens and assertions
    "C1 replayed assertions": (
        f"{_GATE}.AssertionAttackTests.test_replayed",
        f"{_GATE}.AssertionAttackTests.test_replayed_after_a_restart",
        f"{_WIRES}.Http2Tests.test_one_assertion_many_streams",
        "tests.auth.oauth.test_replaystore",
        "tests.live.test_replay_store",
    ),
    "C2 times": (
        f"{_GATE}.AssertionAttackTests.test_times",
        "tests.auth.oauth.test_assertions.RefusedTests",
    ),
    "C3 audiences": (f"{_GATE}.AssertionAttackTests.test_audience",),
    "C4 algorithms": (
        f"{_GATE}.AssertionAttackTests.test_algorithms",
        f"{_GATE}.AssertionAttackTests.test_der",
        "tests.auth.test_keys.SignatureTests",
    ),
    "C5 keys in headers": (f"{_GATE}.AssertionAttackTests.test_headers",),
    "C6 one sort of JWS for another": (f"{_GATE}.AssertionAttackTests.test_other_sorts",),
    "C7 forms of a JWS": (
        f"{_GATE}.AssertionAttackTests.test_forms_of_an_assertion",
        "tests.auth.oauth.test_assertions.RefusedTests.test_form",
        "tests.auth.test_keys",
    ),
    "C8 who is known here": (
        f"{_GATE}.AssertionAttackTests.test_nobody_can_tell_why",
        f"{_GATE}.AssertionAttackTests.test_refusals_cost_the_same",
        f"{_GATE}.AssertionAttackTests.test_another_kind_of_key_costs_the_same",
    ),
    "C9 more scopes": (f"{_GATE}.AssertionAttackTests.test_scopes",),
    "C10 other resources": (
        f"{_GATE}.TokenAttackTests.test_other_resource",
        f"{_GATE}.AssertionAttackTests.test_resources",
    ),
    "C11 tokens where they do not belong": (
        f"{_GATE}.TokenAttackTests.test_where_tokens_do_not_belong",
        f"{_WIRES}.Http2Tests.test_several_credentials",
        f"{_WIRES}.WebSocketTests.test_tokens_in_the_query",
    ),
    "C12 tokens that end while they are used": (
        f"{_OWN}.WithdrawalTests.test_streams_grow_old",
        f"{_GATE}.TokenAttackTests.test_same_head_again",
        f"{_CLIENTS}.Python2Tests.test_token_ends",
        f"{_CLIENTS}.TypeScript2Tests.test_token_ends",
    ),
    "C13 keys that are withdrawn": (
        f"{_OWN}.WithdrawalTests",
        f"{_OWN}.WebSocketTests.test_withdrawn",
        f"{_WIRES}.Http2Tests.test_withdrawn",
        f"{_WIRES}.SubscriptionTests.test_withdrawn",
    ),
    "C14 proofs": (f"{_GATE}.ProofAttackTests", "tests.auth.oauth.test_dpop"),
    "C15 proofs that are required, and nonces": (
        f"{_GATE}.RequiredProofTests",
        f"{_GATE}.NonceTests",
        f"{_CLIENTS}.TypeScript2Tests.test_dpop_with_nonce",
    ),
    "C16 no room to remember": (
        f"{_GATE}.AssertionAttackTests.test_full",
        f"{_GATE}.ProofAttackTests.test_replay_cache_full",
    ),
    "C17 secrets in logs": (
        "tests.auth.closed.ClosedCase.assert_nothing_secret",
        "tests.live.test_keys.KeyCase.stop",
        "tests.test_dev.LeakTests",
        f"{_CLIENTS}.KeyCase.assert_nothing_secret",
        f"{_SHOWN}.ProcessTests.test_metrics",
    ),
    "C18 credentials passed on": (
        f"{_GATE}.TokenAttackTests.test_credentials_go_no_further",
        f"{_SHOWN}.BehindTests",
    ),
    "C19 lines read as less strict": (
        "tests.auth.test_authorizedkeys.LineTests.test_no_restriction_is_lost",
    ),
    "C20 where from": (
        f"{_GATE}.SourceTests.test_from",
        "tests.auth.test_authorizedkeys.PatternTests.test_sources",
    ),
    # Sessions, handles, multiplexing
    "D1 guessing sessions": (
        f"{_OWN}.SessionTests.test_keys_are_unguessable",
        f"{_OWN}.SessionTests.test_keys_are_of_the_system",
    ),
    "D2 another's session": (f"{_OWN}.SessionTests",),
    "D3 another's stream": (f"{_OWN}.SessionTests.test_anothers_stream",),
    "D4 another's messages": (
        f"{_OWN}.LegacyStreamTests.test_anothers",
        f"{_WIRES}.EventStreamTests.test_anothers_is_told",
    ),
    "D5 equal ids": (
        f"{_OWN}.CrossingTests.test_equal_ids",
        f"{_WIRES}.Http2Tests.test_equal_ids",
        f"{_WIRES}.EventStreamTests.test_equal_ids",
        f"{_WIRES}.WebSocketTests.test_equal_ids",
    ),
    "D6 subscriptions, tasks and states": (
        f"{_WIRES}.SubscriptionTests",
        f"{_OWN}.TaskTests",
        f"{_OWN}.StateTests",
    ),
    "D7 states that were altered": (f"{_OWN}.StateTests", f"{_OWN}.HeldTests"),
    "D8 two tokens on one connection": (
        f"{_OWN}.CrossingTests.test_two_tokens_on_one_connection",
        f"{_WIRES}.Http2Tests.test_each_stream_its_own_avatar",
    ),
    "D9 nobody after somebody": (
        f"{_GATE}.TokenAttackTests.test_keep_alive",
        "tests.auth.test_gate.KnownHeadTests",
        f"{_WIRES}.Http2Tests.test_each_stream_its_own_avatar",
    ),
    # People with a browser
    "E1 redirects that were not registered": (
        f"{_LOGIN}.RedirectAttackTests",
        "tests.auth.oauth.test_authorizationrequest.RefusedTests",
        "tests.auth.oauth.test_registrations.RedirectTests",
    ),
    "E2 challenges and verifiers": (
        f"{_LOGIN}.RedirectAttackTests.test_challenges",
        f"{_LOGIN}.CodeAttackTests",
    ),
    "E3 codes that come again": (
        f"{_LOGIN}.CodeAttackTests.test_again",
        "tests.auth.oauth.test_logins.CodeTests",
    ),
    "E4 approving without a key that may": (
        f"{_DESK}.AttackTests",
        f"{_DESK}.NarrowTests",
        f"{_DESK}.KindTests.test_security_key",
        "tests.auth.oauth.test_devices.AttackTests",
        "tests.live.test_approving",
        "tests.auth.test_sshsig",
    ),
    "E5 another's page": (f"{_LOGIN}.OtherBrowserTests",),
    "E7 refresh tokens that come again": (
        f"{_LOGIN}.RefreshAttackTests",
        "tests.auth.oauth.test_logins.RefreshTests",
        "tests.auth.oauth.test_loginstore.RestartTests.test_used_before",
        "tests.auth.oauth.test_loginstore.RestartTests.test_no_answer",
        "tests.auth.oauth.test_loginstore.TroubleTests",
        "tests.auth.oauth.test_loginstore.DaemonTests",
    ),
    # Content and processes
    "F1 bodies that are none": (f"{_PAGES}.BodyTests",),
    "F2 headers that belie the body": (
        f"{_PAGES}.HeaderTests",
        f"{_OWN}.ScopeTests.test_from_the_body",
        f"{_OWN}.ScopeTests.test_from_the_body_in_a_session",
    ),
    "F3 hostile metadata": (
        "tests.auth.asking.test_discovery",
        "tests.auth.asking.test_tokensource.SecrecyTests",
        "tests.auth.asking.test_login_attacks.AttackTests",
        "tests.auth.asking.test_browser.BrowserTests",
        "tests.auth.asking.test_redirect.RedirectTests",
        "tests.auth.asking.test_authorization.AnswerTests",
    ),
    "F4 commands": (
        "tests.auth.test_administering",
        "tests.live.test_children.Talking",
        "tests.live.test_children.Families",
    ),
    "F7 log injection": (
        f"{_GATE}.TokenAttackTests.test_log_injection",
        "tests.auth.test_audit.AuditTests.test_injection",
        "tests.console.test_hostile",
    ),
    # Around the gate
    "G13 proofs on a WebSocket": (
        "tests.auth.test_doorstep.AttackTests",
        "tests.auth.test_doorstep.NotOfferedTests",
        "tests.auth.test_mutualproof",
        "tests.live.test_mutual_proof",
    ),
    "G14 TLS": (
        "tests.protocols.test_tls.NegotiationTests",
        "tests.protocols.test_tls.ProfileTests",
        "tests.protocols.test_tls.OlderProfileTests",
    ),
    "G15 client certificates": (
        "tests.auth.test_client_certificates.TurnedAwayTests",
        "tests.auth.test_client_certificates.ComingInTests",
        "tests.auth.test_client_certificates.WithdrawnTests",
        "tests.live.test_client_certificates",
    ),
    "G16 impostors, and keys that are changed": (
        "tests.live.test_impostor",
        "tests.live.test_pinning",
        "tests.auth.asking.test_pinning",
        "tests.auth.test_hostkeys.StatementTests.test_signed_with_one_key_only",
        "tests.auth.asking.test_keylearning.RefusedTests",
    ),
    "G17 penalties": (
        f"{_GATE}.SourceTests.test_penalties",
        f"{_GATE}.ExemptTests",
        "tests.auth.test_penalties",
    ),
    "G18 a storm of reloads": ("tests.auth.test_keyfiles.KeyFilesTests.test_reload_storm",),
    "G19 clocks that jump": (
        f"{_GATE}.AssertionAttackTests.test_replayed_after_the_clock_was_set",
        f"{_GATE}.TokenAttackTests.test_expired",
        "tests.auth.oauth.test_assertions.ReplayTests",
    ),
    "G20 guessed inputs": ("tests.fuzz.test_targets",),
    # Signed requests
    "H1 requests that come again": (
        f"{_SIGNED}.AttackTests.test_replayed",
        f"{_SIGNED}.AttackTests.test_replayed_on_one_connection",
        f"{_SIGNED}.AttackTests.test_nonce_again",
        f"{_SIGNED}.SharedTests",
    ),
    "H2 other bodies": (
        f"{_SIGNED}.AttackTests.test_body",
        f"{_SIGNED}.AttackTests.test_body_of_a_get",
        f"{_SIGNED}.AttackTests.test_piecewise",
        f"{_SIGNED}.ComingTests.test_http2",
        f"{_SIGNED}.ComingTests.test_ticket",
    ),
    "H3 other URLs and methods": (
        f"{_SIGNED}.AttackTests.test_elsewhere",
        f"{_SIGNED}.AttackTests.test_proxies",
    ),
    "H4 digests that are missing, or are another": (f"{_SIGNED}.AttackTests.test_digest",),
    "H5 signatures over less": (
        f"{_SIGNED}.AttackTests.test_covered",
        f"{_SIGNED}.AttackTests.test_added_after_signing",
        "tests.auth.test_httpsignatures.ProfileTests",
    ),
    "H6 signatures that are old, or not yet made": (
        f"{_SIGNED}.AttackTests.test_times",
        f"{_SIGNED}.AttackTests.test_before_a_restart",
    ),
    "H7 keys of others": (
        f"{_SIGNED}.AttackTests.test_keys",
        f"{_SIGNED}.AttackTests.test_tokens_of_others",
        f"{_SIGNED}.ComingTests.test_anothers_session",
    ),
    "H8 another algorithm": (f"{_SIGNED}.AttackTests.test_algorithms",),
    "H9 several signatures, and lines that are joined": (
        f"{_SIGNED}.AttackTests.test_several",
        f"{_SIGNED}.AttackTests.test_lines",
        f"{_SIGNED}.AttackTests.test_half",
        f"{_SIGNED}.AttackTests.test_forms",
        "tests.auth.test_structuredfields",
    ),
    "H10 no room to remember nonces": (
        f"{_SIGNED}.AttackTests.test_full",
        f"{_SIGNED}.AttackTests.test_what_is_not_good_is_not_remembered",
    ),
    "H11 keys that are withdrawn": (f"{_SIGNED}.WithdrawalTests",),
    "H12 keys that must sign": (f"{_SIGNED}.RequiredTests",),
}

#: What there is nothing of here to attack.
CANNOT_HAPPEN: Mapping[str, str] = {
    "E6 metadata of clients on hosts within": "nothing is fetched that a client names",
    "F5 requests made of arguments": "no tool is turned into an HTTP request of another shape",
    "F6 paths outside a directory": "the toolbox reads no files",
}
