"""``mcptwist.console.keymap``: every command, and every key."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.console import keymap
from mcptwist.console.app import MAIN, Console
from mcptwist.console.calls import CallScreen
from mcptwist.console.connections import ClientScreen
from mcptwist.console.forms import FormScreen
from mcptwist.console.help import help_lines
from mcptwist.console.keymap import BINDINGS, COMMANDS, BadCommand, parse
from mcptwist.console.screen import Screen, TextScreen
from mcptwist.console.servers import ServerScreen
from mcptwist.console.tools import OfferScreen
from mcptwist.console.traffic import MessageScreen
from mcptwist.console.widgets import plain

SCREENS: dict[str, type[Screen]] = {
    **{name: kind for name, kind in MAIN.items() if isinstance(kind, type)},
    keymap.SERVER: ServerScreen,
    keymap.MESSAGE: MessageScreen,
    keymap.OFFER: OfferScreen,
    keymap.FORM: FormScreen,
    keymap.CALL: CallScreen,
    keymap.CONNECTION: ClientScreen,
    keymap.SESSION: ClientScreen,
    keymap.TEXT: TextScreen,
    keymap.HELP: TextScreen,
}


class TableOfKeysTests(SynchronousTestCase):
    """What holds for the table as a whole."""

    def test_every_key_is_a_command(self) -> None:
        """What a key stands for can be typed, and means something where the key does."""
        for binding in BINDINGS:
            command, _ = parse(binding.line)
            if binding.place and command.places:
                self.assertIn(binding.place, command.places, binding)

    def test_every_command_is_done_by_somebody(self) -> None:
        """A view or the console has a method for each command, in each place it is for."""
        for command in COMMANDS:
            method = command.name.replace("-", "_")
            own = command.name in MAIN or hasattr(Console, f"_do_{method}")
            for place in command.places or (keymap.SERVERS,):
                self.assertTrue(own or hasattr(SCREENS[place], f"do_{method}"), (command, place))

    def test_no_key_means_two_things(self) -> None:
        """In a place, a key has one meaning; names of commands are used once."""
        keys = Counter((b.place, key) for b in BINDINGS for key in b.keys)
        self.assertEqual([each for each, count in keys.items() if count > 1], [])
        names = Counter(command.name for command in COMMANDS)
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_places(self) -> None:
        """Every place that is named is a view."""
        named = {b.place for b in BINDINGS} | {p for c in COMMANDS for p in c.places}
        self.assertEqual(named - {keymap.ANYWHERE} - SCREENS.keys(), set())

    def test_what_destroys_asks(self) -> None:
        """What ends something asks first."""
        for name in ("stop", "restart", "drain", "close", "ban", "kick-all", "revoke", "replay"):
            self.assertTrue(keymap.command(name).asks, name)

    def test_vim_and_arrows(self) -> None:
        """Both ways to move mean the same."""
        for one, other in (("j", "down"), ("k", "up"), ("g", "home"), ("G", "end"), ("h", "left")):
            self.assertIs(keymap.bound("servers", one), keymap.bound("servers", other))

    def test_shift_letters_are_free(self) -> None:
        """No key but G takes a capital letter, for those sort."""
        capitals = {key for b in BINDINGS for key in b.keys if len(key) == 1 and key.isupper()}
        self.assertEqual(capitals, {"G"})

    def test_help_and_footer_come_from_it(self) -> None:
        """Every key of a place is in its help, and the footer shows some of them."""
        for place in SCREENS:
            text = "\n".join(map(plain, help_lines(place)))
            for binding in BINDINGS:
                if binding.place in (place, keymap.ANYWHERE):
                    self.assertIn(keymap.key_name(binding.keys[0]), text)
            self.assertIn(("?", "help"), keymap.footer(place))


class ParseTests(SynchronousTestCase):
    """Lines that are typed."""

    def test_words(self) -> None:
        """What follows a command is words, quoted as in a shell."""
        command, words = parse('stop one "two three"')
        self.assertEqual((command.name, words), ("stop", ["one", "two three"]))

    def test_filter_takes_all(self) -> None:
        """A filter is one text."""
        self.assertEqual(parse('filter tool:"a b" c')[1], ['tool:"a b" c'])

    def test_short(self) -> None:
        """The beginning of a name will do, where it is one command's."""
        self.assertEqual(parse("resta echo")[0].name, "restart")
        self.assertEqual(parse("stop")[0].name, "stop")
        problem = self.assertRaises(BadCommand, parse, "s")
        self.assertIn("may be", str(problem))

    def test_nonsense(self) -> None:
        """What is no command is said to be none."""
        for line in ("", "xyzzy", 'stop "open'):
            self.assertRaises(BadCommand, parse, line)

    @settings(deadline=None, max_examples=60)
    @given(st.text(max_size=40))
    def test_any_line(self, line: str) -> None:
        """Any line is a command or a BadCommand."""
        try:
            parse(line)
        except BadCommand:
            pass


class CompletionTests(SynchronousTestCase):
    """How a line may go on."""

    def test_commands(self) -> None:
        """Commands of the place, by their beginning."""
        self.assertEqual(keymap.complete("rest", "servers", ()), ["restart"])
        self.assertNotIn("ban", keymap.complete("", "servers", ()))

    def test_words(self) -> None:
        """Then what there is."""
        found = keymap.complete("stop e", "servers", ["echo", "box", "e mail"])
        self.assertEqual(found, ["stop 'e mail'", "stop echo"])

    def test_common(self) -> None:
        """As far as all go together."""
        self.assertEqual(keymap.common(["restart", "refresh"]), "re")
        self.assertEqual(keymap.common(["start", "start"]), "start")
        self.assertEqual(keymap.common([]), "")
