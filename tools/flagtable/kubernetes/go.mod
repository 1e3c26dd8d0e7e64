// Which Kubernetes is meant says versions/<minor>.mod, by -modfile; this file only marks the module's root.
module kubeharden.invalid/flagtable/kubernetes

go 1.24.0
