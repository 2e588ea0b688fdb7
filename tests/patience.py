"""How long tests wait for real programs before they say that nothing comes any more."""

#: Nothing is measured by it: it only ends what would wait for ever, and so it is far longer than
#: anything takes on a machine that has ten other things to do.
SECONDS = 120.0
