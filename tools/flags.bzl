"""A flag that holds one word, as --//:broker=sqlite does."""

_Choice = provider(fields = ["value"])

def _impl(ctx):
    value = ctx.build_setting_value
    if value not in ctx.attr.values:
        fail("--{}={}: it is one of {}".format(ctx.label, value, ", ".join(ctx.attr.values)))
    return [_Choice(value = value)]

string_flag = rule(
    implementation = _impl,
    build_setting = config.string(flag = True),
    attrs = {"values": attr.string_list(mandatory = True)},
)
