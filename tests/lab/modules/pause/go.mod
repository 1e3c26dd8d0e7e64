module kubeharden.invalid/lab/pause

go 1.24
