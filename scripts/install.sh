#!/bin/sh
# install.sh PROGRAM PREFIX: installs the program, its man pages and completions. install.sh --remove PREFIX
set -eu
program=$1
prefix=${2:?usage: install.sh PROGRAM|--remove PREFIX}
bash=$prefix/share/bash-completion/completions
zsh=$prefix/share/zsh/site-functions
fish=$prefix/share/fish/vendor_completions.d
man=$prefix/share/man/man1

if [ "$program" = --remove ]; then
    rm -f "$prefix/bin/cairn" "$bash/cairn" "$zsh/_cairn" "$fish/cairn.fish" "$man"/cairn.1 "$man"/cairn-*.1
    exit 0
fi
mkdir -p "$prefix/bin" "$bash" "$zsh" "$fish" "$man"
# Beside its name first, so that a running program is replaced, not overwritten.
cp "$program" "$prefix/bin/.cairn.new"
chmod 755 "$prefix/bin/.cairn.new"
mv -f "$prefix/bin/.cairn.new" "$prefix/bin/cairn"
"$program" completions bash >"$bash/cairn"
"$program" completions zsh >"$zsh/_cairn"
"$program" completions fish >"$fish/cairn.fish"
"$program" commands man "$man"
echo "installed $prefix/bin/cairn, man pages and completions"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) echo "note: $prefix/bin is not in PATH" ;;
esac
