"""glibc's allocator, told at a process's start to keep freed blocks.

Fresh pages for every activation of every step cost training a tenth of its time and more.
"""

KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
