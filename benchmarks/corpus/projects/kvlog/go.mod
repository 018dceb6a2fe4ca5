module example.invalid/kvlog

go 1.22
