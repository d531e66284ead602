"""compile_error_test: a file that must not compile, and the line that the compiler has to say about it."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _impl(ctx):
    contexts = [d[CcInfo].compilation_context for d in ctx.attr.deps]
    log = ctx.actions.declare_file(ctx.label.name + ".log")
    args = ctx.actions.args()
    args.add_all(["-std=c++20", "-fsyntax-only", "-fno-diagnostics-color", "-fno-diagnostics-show-caret", "-iquote", "."])
    args.add("-iquote", ctx.bin_dir.path)
    args.add_all(ctx.attr.defines, before_each = "-D")
    for c in contexts:
        args.add_all(c.defines, before_each = "-D")
        args.add_all(c.quote_includes, before_each = "-iquote")
        args.add_all(c.includes, before_each = "-I")
        args.add_all(c.system_includes, before_each = "-isystem")
        if hasattr(c, "external_includes"):
            args.add_all(c.external_includes, before_each = "-isystem")
    args.add(ctx.file.src)
    ctx.actions.run_shell(
        inputs = depset([ctx.file.src], transitive = [c.headers for c in contexts]),
        outputs = [log],
        arguments = [log.path, args],
        command = 'log=$1; shift; if c++ "$@" >"$log" 2>&1; then echo "it compiles" >>"$log"; fi',
        mnemonic = "CompileError",
        use_default_shell_env = True,
    )
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(executable, """#!/bin/sh
log={log}
if ! grep 'error: ' "$log" | grep -qF -e {error}; then
  printf 'the compiler should say: %s\\nit said:\\n' {error}
  cat "$log"; exit 1
fi
n=$(grep -c 'error: ' "$log")
if [ {most} -gt 0 ] && [ "$n" -gt {most} ]; then
  echo "$n errors, and {most} would do:"; cat "$log"; exit 1
fi
""".format(log = log.short_path, error = "'" + ctx.attr.error.replace("'", "'\\''") + "'", most = ctx.attr.max_errors), is_executable = True)
    return [DefaultInfo(executable = executable, runfiles = ctx.runfiles(files = [log]))]

compile_error_test = rule(
    implementation = _impl,
    test = True,
    attrs = {
        "src": attr.label(allow_single_file = [".cc"], mandatory = True),
        "defines": attr.string_list(doc = "What chooses the mistake, where one file holds several."),
        "deps": attr.label_list(providers = [CcInfo]),
        "error": attr.string(mandatory = True, doc = "Part of one line of the compiler's that has 'error: ' in it."),
        "max_errors": attr.int(default = 0, doc = "With more lines than this the test fails; 0: any number."),
    },
)
