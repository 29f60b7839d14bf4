# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rt_global_optspecs
    string join \n r/root= l/log= log-format= log-level= debug cgroup-manager= s/systemd-cgroup rootless= criu= systemd-log
end

function __fish_rt_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rt_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rt_using_subcommand
    set -l cmd (__fish_rt_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rt -n "__fish_rt_needs_command" -s r -l root -d 'where the state of containers is kept [/run/rt, or $XDG_RUNTIME_DIR/rt]' -r
complete -c rt -n "__fish_rt_needs_command" -s l -l log -d 'write errors to FILE too' -r -F
complete -c rt -n "__fish_rt_needs_command" -l log-format -d 'form of the messages in FILE' -r -f -a "text\t''
json\t''"
complete -c rt -n "__fish_rt_needs_command" -l log-level -d 'which messages' -r -f -a "error\t''
warning\t''
warn\t''
info\t''
debug\t''"
complete -c rt -n "__fish_rt_needs_command" -l cgroup-manager -d 'cgroupfs, systemd or disabled' -r -f -a "cgroupfs\t''
systemd\t''
disabled\t''"
complete -c rt -n "__fish_rt_needs_command" -l rootless -d 'whether the caller has no privilege' -r -f -a "true\t''
false\t''
auto\t''"
complete -c rt -n "__fish_rt_needs_command" -l criu -d 'ignored' -r
complete -c rt -n "__fish_rt_needs_command" -l debug -d 'say what is going to be done, too'
complete -c rt -n "__fish_rt_needs_command" -s s -l systemd-cgroup -d 'same as --cgroup-manager=systemd'
complete -c rt -n "__fish_rt_needs_command" -l systemd-log -d 'ignored'
complete -c rt -n "__fish_rt_needs_command" -f -a "run" -d 'create and start a container, and wait for its end'
complete -c rt -n "__fish_rt_needs_command" -f -a "create" -d 'create a container; its program waits for start'
complete -c rt -n "__fish_rt_needs_command" -f -a "start" -d 'start the program of a created container'
complete -c rt -n "__fish_rt_needs_command" -f -a "kill" -d 'send a signal to a container'
complete -c rt -n "__fish_rt_needs_command" -f -a "delete" -d 'remove a stopped container'
complete -c rt -n "__fish_rt_needs_command" -f -a "exec" -d 'run another program in it'
complete -c rt -n "__fish_rt_needs_command" -f -a "pause" -d 'make all its processes stand still'
complete -c rt -n "__fish_rt_needs_command" -f -a "resume" -d 'let them go on'
complete -c rt -n "__fish_rt_needs_command" -f -a "checkpoint" -d 'freeze it into files'
complete -c rt -n "__fish_rt_needs_command" -f -a "restore" -d 'make one from such files again'
complete -c rt -n "__fish_rt_needs_command" -f -a "update" -d 'change its limits'
complete -c rt -n "__fish_rt_needs_command" -f -a "mounts" -d 'add mounts to it, or take them away'
complete -c rt -n "__fish_rt_needs_command" -f -a "ps" -d 'show its processes'
complete -c rt -n "__fish_rt_needs_command" -f -a "list" -d 'show all containers'
complete -c rt -n "__fish_rt_needs_command" -f -a "state" -d 'show one container as JSON'
complete -c rt -n "__fish_rt_needs_command" -f -a "events" -d 'show what one uses, and when it runs out of memory'
complete -c rt -n "__fish_rt_needs_command" -f -a "features" -d 'show what this rt supports as JSON'
complete -c rt -n "__fish_rt_needs_command" -f -a "spec" -d 'write a config.json to begin with'
complete -c rt -n "__fish_rt_needs_command" -f -a "explain" -d 'show what create and start would do'
complete -c rt -n "__fish_rt_needs_command" -f -a "check" -d 'show every fault of a config.json'
complete -c rt -n "__fish_rt_using_subcommand run" -s b -l bundle -d 'directory with config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -s f -l config -d 'the configuration, when it is not DIR/config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -s p -l pid-file -d 'write the pid of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -s c -l console-socket -d 'send the master of the terminal there' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l pidfd-socket -d 'send a pidfd of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l preserve-fds -d 'pass descriptors 3 to 2+N on as well' -r
complete -c rt -n "__fish_rt_using_subcommand run" -l no-pivot -d 'chroot instead of pivot_root, for a root in a ramfs'
complete -c rt -n "__fish_rt_using_subcommand run" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c rt -n "__fish_rt_using_subcommand run" -l no-subreaper -d 'ignored'
complete -c rt -n "__fish_rt_using_subcommand run" -s d -l detach -d 'return when the process runs'
complete -c rt -n "__fish_rt_using_subcommand run" -l keep -d 'do not delete the container when its process ends'
complete -c rt -n "__fish_rt_using_subcommand create" -s b -l bundle -d 'directory with config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -s f -l config -d 'the configuration, when it is not DIR/config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -s p -l pid-file -d 'write the pid of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -s c -l console-socket -d 'send the master of the terminal there' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l pidfd-socket -d 'send a pidfd of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l preserve-fds -d 'pass descriptors 3 to 2+N on as well' -r
complete -c rt -n "__fish_rt_using_subcommand create" -l no-pivot -d 'chroot instead of pivot_root, for a root in a ramfs'
complete -c rt -n "__fish_rt_using_subcommand create" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c rt -n "__fish_rt_using_subcommand create" -l no-subreaper -d 'ignored'
complete -c rt -n "__fish_rt_using_subcommand kill" -s a -l all -d 'signal every process of the container'
complete -c rt -n "__fish_rt_using_subcommand kill" -s r -l regex -d 'ID is a pattern: signal all that match'
complete -c rt -n "__fish_rt_using_subcommand delete" -s f -l force -d 'kill it first; no error when it does not exist'
complete -c rt -n "__fish_rt_using_subcommand delete" -s r -l regex -d 'ID is a pattern: delete all that match'
complete -c rt -n "__fish_rt_using_subcommand exec" -s p -l process -d 'a process object as in config.json, instead of COMMAND' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l cwd -d 'its working directory' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s e -l env -d 'add to its environment' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s u -l user -d 'its user' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s g -l additional-gids -d 'add to its groups' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s c -l cap -d 'add to its capabilities' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l apparmor -d 'its AppArmor profile' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l process-label -d 'its SELinux label' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l cgroup -d 'a cgroup below the container\'s' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l pid-file -d 'write the pid of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l console-socket -d 'send the master of the terminal there' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l pidfd-socket -d 'send a pidfd of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l preserve-fds -d 'pass descriptors 3 to 2+N on as well' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s d -l detach -d 'return when the process runs'
complete -c rt -n "__fish_rt_using_subcommand exec" -s t -l tty -d 'give it a terminal'
complete -c rt -n "__fish_rt_using_subcommand exec" -l no-new-privs -d 'forbid new privileges'
complete -c rt -n "__fish_rt_using_subcommand exec" -l ignore-paused -d 'do not mind that the container is paused'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l image-path -d 'the image files [./checkpoint]' -r -F
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l work-path -d 'CRIU\'s log and statistics [the image files\' directory]' -r -F
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l manage-cgroups-mode -d 'what becomes of the cgroups [soft]' -r -f -a "soft\t''
full\t''
strict\t''
ignore\t''"
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l empty-ns -d 'leave what is in this namespace out' -r
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l network-lock -d 'how the network stands still meanwhile [iptables]' -r -f -a "iptables\t''
nftables\t''
skip\t''"
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l parent-path -d 'images of the dump before, relative to the image files' -r -F
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l page-server -d 'send memory there' -r
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l status-fd -d 'write a zero byte to descriptor N when lazy pages can be fetched' -r
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l tcp-established -d 'allow TCP connections'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l ext-unix-sk -d 'allow unix sockets that lead outside'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l shell-job -d 'allow a terminal or a session that is the caller\'s'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l file-locks -d 'keep file locks'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l link-remap -d 'keep files that were unlinked'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l auto-dedup -d 'remove pages from images that have become old'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l lazy-pages -d 'bring memory when it is needed, by `criu lazy-pages`'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -s R -l leave-running -d 'let the container go on'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l pre-dump -d 'only copy the memory, and let the container go on'
complete -c rt -n "__fish_rt_using_subcommand checkpoint" -l tcp-skip-in-flight -d 'leave TCP connections out that are being made'
complete -c rt -n "__fish_rt_using_subcommand restore" -s b -l bundle -d 'directory with config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -s f -l config -d 'the configuration, when it is not DIR/config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -s p -l pid-file -d 'write the pid of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -s c -l console-socket -d 'send the master of the terminal there' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -l pidfd-socket -d 'send a pidfd of the process there' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -l preserve-fds -d 'pass descriptors 3 to 2+N on as well' -r
complete -c rt -n "__fish_rt_using_subcommand restore" -l image-path -d 'the image files [./checkpoint]' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -l work-path -d 'CRIU\'s log and statistics [the image files\' directory]' -r -F
complete -c rt -n "__fish_rt_using_subcommand restore" -l manage-cgroups-mode -d 'what becomes of the cgroups [soft]' -r -f -a "soft\t''
full\t''
strict\t''
ignore\t''"
complete -c rt -n "__fish_rt_using_subcommand restore" -l empty-ns -d 'leave what is in this namespace out' -r
complete -c rt -n "__fish_rt_using_subcommand restore" -l network-lock -d 'how the network stands still meanwhile [iptables]' -r -f -a "iptables\t''
nftables\t''
skip\t''"
complete -c rt -n "__fish_rt_using_subcommand restore" -l lsm-profile -d 'the label of the processes: apparmor:NAME or selinux:LABEL' -r
complete -c rt -n "__fish_rt_using_subcommand restore" -l lsm-mount-context -d 'the SELinux context of the mounts' -r
complete -c rt -n "__fish_rt_using_subcommand restore" -l no-pivot -d 'chroot instead of pivot_root, for a root in a ramfs'
complete -c rt -n "__fish_rt_using_subcommand restore" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c rt -n "__fish_rt_using_subcommand restore" -l no-subreaper -d 'ignored'
complete -c rt -n "__fish_rt_using_subcommand restore" -s d -l detach -d 'return when the process runs'
complete -c rt -n "__fish_rt_using_subcommand restore" -l keep -d 'do not delete the container when its process ends'
complete -c rt -n "__fish_rt_using_subcommand restore" -l tcp-established -d 'allow TCP connections'
complete -c rt -n "__fish_rt_using_subcommand restore" -l ext-unix-sk -d 'allow unix sockets that lead outside'
complete -c rt -n "__fish_rt_using_subcommand restore" -l shell-job -d 'allow a terminal or a session that is the caller\'s'
complete -c rt -n "__fish_rt_using_subcommand restore" -l file-locks -d 'keep file locks'
complete -c rt -n "__fish_rt_using_subcommand restore" -l link-remap -d 'keep files that were unlinked'
complete -c rt -n "__fish_rt_using_subcommand restore" -l auto-dedup -d 'remove pages from images that have become old'
complete -c rt -n "__fish_rt_using_subcommand restore" -l lazy-pages -d 'bring memory when it is needed, by `criu lazy-pages`'
complete -c rt -n "__fish_rt_using_subcommand restore" -l tcp-close -d 'close the TCP connections of the images'
complete -c rt -n "__fish_rt_using_subcommand update" -s r -l resources -d 'new limits as JSON, like linux.resources; - is standard input' -r -F
complete -c rt -n "__fish_rt_using_subcommand update" -l memory -d 'limit of memory, like 64m; -1 is none' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l memory-swap -d 'limit of memory and swap together; -1 is none' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l memory-reservation -d 'what is left to it when memory is short' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-share -d 'weight against other containers, 2 to 262144' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-quota -d 'microseconds of CPU time in each period; -1 is no limit' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-period -d 'length of the period' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-burst -d 'how much unused quota may be saved up' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-idle -d 'run only when nothing else wants to' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-rt-period -d 'period of real-time processes' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-rt-runtime -d 'their microseconds in each period' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpuset-cpus -d 'on which CPUs, like 0-3,7' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpuset-mems -d 'from which memory nodes' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l pids-limit -d 'how many processes; -1 is no limit' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l blkio-weight -d 'weight at block devices, 10 to 1000' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l l3-cache-schema -d 'share of the L3 cache (Intel RDT)' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l mem-bw-schema -d 'share of the memory bandwidth (Intel RDT)' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l kernel-memory -d 'ignored: it is part of --memory' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l kernel-memory-tcp -d 'ignored: it is part of --memory' -r
complete -c rt -n "__fish_rt_using_subcommand ps" -s f -l format -d 'form of the list [table]' -r -f -a "table\t''
json\t''"
complete -c rt -n "__fish_rt_using_subcommand list" -s f -l format -d 'form of the list [table]' -r -f -a "table\t''
json\t''"
complete -c rt -n "__fish_rt_using_subcommand list" -s q -l quiet -d 'only the ids'
complete -c rt -n "__fish_rt_using_subcommand events" -l interval -d 'how often to show what it uses, like 500ms or 1m30s [5s]' -r
complete -c rt -n "__fish_rt_using_subcommand events" -l stats -d 'show what it uses once'
complete -c rt -n "__fish_rt_using_subcommand spec" -s b -l bundle -d 'write DIR/config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand spec" -s f -l config -d 'write FILE instead; - is standard output' -r -F
complete -c rt -n "__fish_rt_using_subcommand spec" -l rootless -d 'for a caller without privilege'
complete -c rt -n "__fish_rt_using_subcommand explain" -s b -l bundle -d 'directory with config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand explain" -s f -l config -d 'the configuration, when it is not DIR/config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand explain" -l json -d 'print JSON'
complete -c rt -n "__fish_rt_using_subcommand explain" -l seccomp -d 'print the system call filter instead: what it means, and its program'
complete -c rt -n "__fish_rt_using_subcommand check" -s b -l bundle -d 'directory with config.json [.]' -r -F
complete -c rt -n "__fish_rt_using_subcommand check" -s f -l config -d 'the configuration, when it is not DIR/config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand check" -l json -d 'print JSON'
