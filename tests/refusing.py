"""A library that makes system calls fail, put before the C library of a process: file systems that we do not have."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# REFUSE="flock:37 link:1" in the environment names calls and the error numbers that they give.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
static int refused(const char *name) {
  char key[64]; const char *list = getenv("REFUSE"), *found;
  snprintf(key, sizeof key, " %s:", name);
  return list && (found = strstr(list, key)) ? atoi(found + strlen(key)) : 0;
}
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL(name) do { int error = refused(name); if (error) { errno = error; return -1; } } while (0)
int flock(int fd, int how) { FAIL("flock"); REAL(flock); return real(fd, how); }
int link(const char *a, const char *b) { FAIL("link"); REAL(link); return real(a, b); }
int linkat(int f, const char *a, int g, const char *b, int h) {
  FAIL("link"); REAL(linkat); return real(f, a, g, b, h); }
int fsync(int fd) { FAIL("fsync"); REAL(fsync); return real(fd); }
ssize_t sendfile(int o, int i, off_t *p, size_t n) { FAIL("sendfile"); REAL(sendfile); return real(o, i, p, n); }
ssize_t sendfile64(int o, int i, off_t *p, size_t n) { FAIL("sendfile"); REAL(sendfile64); return real(o, i, p, n); }
int posix_fallocate(int fd, off_t o, off_t n) {
  int error = refused("fallocate"); REAL(posix_fallocate); return error ? error : real(fd, o, n); }
int posix_fallocate64(int fd, off_t o, off_t n) { return posix_fallocate(fd, o, n); }
int posix_fadvise(int fd, off_t o, off_t n, int advice) {
  int error = refused("fadvise"); REAL(posix_fadvise); return error ? error : real(fd, o, n, advice); }
int posix_fadvise64(int fd, off_t o, off_t n, int advice) { return posix_fadvise(fd, o, n, advice); }
int fcntl64(int fd, int what, ...) {
  va_list list; va_start(list, what); void *given = va_arg(list, void *); va_end(list);
  if (what == F_SETLK || what == F_SETLKW) FAIL("fcntl");
  REAL(fcntl64); return real(fd, what, given);
}
int fcntl(int fd, int what, ...) {
  va_list list; va_start(list, what); void *given = va_arg(list, void *); va_end(list);
  return fcntl64(fd, what, given);
}
ssize_t pread64(int fd, void *to, size_t n, off_t at) {
  if (at >= 0) FAIL("pread"); REAL(pread64); return real(fd, to, n, at); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { return pread64(fd, to, n, at); }
"""


def build_library(folder: Path) -> Path:
    """The compiled library; skips the test where there is no C compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    (folder / "refusing.c").write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-o", "refusing.so", "refusing.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "refusing.so"


def environment(library: Path, **errors: int) -> dict[str, str]:
    """Variables of a process in which these calls give these error numbers."""
    refused = " ".join(["", *(f"{name}:{number}" for name, number in errors.items())])
    return os.environ | {"LD_PRELOAD": str(library), "REFUSE": refused}
